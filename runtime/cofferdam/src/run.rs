//! `cofferdam run`: one container in one VM, attached to the caller's terminal. Steps 1, 2, 11 and 12 of ARCHITECTURE.md are here; the
//! rest is `pod`'s. `plan` decides, `session` moves bytes and signals, `terminal` is the caller's.

mod copy;
mod plan;
mod report;
mod session;
mod signals;
mod terminal;

use std::{
    fs::File,
    io,
    path::Path,
    process::{self, ExitCode},
    time::Instant,
};

use anyhow::{Context, anyhow};
use images::{Image, Rootfs, Store};
use model::{Fault, PodId};
use pod::{
    CgroupPlan, ContainerPlan, Deadlines, GuestPlan, HomePlan, Lifetime, Note, OutputTo, PodError,
    PodPlan, Root, RootSegment,
};

use crate::{
    args::RunArguments,
    config::{Config, Console},
};

use plan::{Plan, Surroundings};

/// Exit codes for what is not the container's own end, as env(1) and docker have them.
pub(crate) const COFFERDAM_FAILED: u8 = 125;
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The first container of a pod that `run` makes.
const CONTAINER: &str = "main";

/// Runs, and gives the exit code.
pub(crate) fn run(config: &Config, arguments: &RunArguments) -> ExitCode {
    match attempt(config, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report::error(&error);
            ExitCode::from(code_of(&error))
        }
    }
}

fn code_of(error: &anyhow::Error) -> u8 {
    let Some(error) = error.downcast_ref::<PodError>() else {
        return COFFERDAM_FAILED;
    };
    match (error, error.fault()) {
        (PodError::Agent { .. }, Fault::NotFound) => NOT_FOUND,
        (PodError::Agent { .. }, Fault::Refused) => CANNOT_EXECUTE,
        _ => COFFERDAM_FAILED,
    }
}

fn attempt(config: &Config, arguments: &RunArguments) -> anyhow::Result<u8> {
    let begun = Instant::now();
    let store = Store::open(&config.image_dir()).context("open the image store")?;
    let image = find_image(&store, arguments.image.as_deref())?;
    let rootfs = store.open_rootfs(&image).context("open the image")?;
    let variable = |name: &str| std::env::var(name).ok();
    let surroundings = Surroundings {
        variable: &variable,
        window: terminal::window_size(),
    };
    let plan = plan::plan(arguments, &image, config, &surroundings)?;
    let container = ContainerPlan {
        id: CONTAINER.parse()?,
        note: Note::Null,
        spec: plan.container.clone(),
        root: root(rootfs, plan.writable_bytes)?,
        output: OutputTo::Caller,
        mounts: Vec::new(),
        apparmor_policy: None,
    };
    let pod_plan = pod_plan(config, &plan)?;
    let image_took = begun.elapsed();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let session = session::Session {
        plan: pod_plan,
        container,
        timings: arguments.timings.then_some(image_took),
    };
    let result = runtime.block_on(session.run());
    // A read of standard input that nobody can cancel may still be waiting.
    runtime.shutdown_background();
    result
}

/// The image that was named; without a name the only one that there is.
fn find_image(store: &Store, name: Option<&str>) -> anyhow::Result<Image> {
    if let Some(name) = name {
        return Ok(store.resolve(name)?);
    }
    let mut images = store.list()?;
    match (images.pop(), images.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(anyhow!(
            "there is no image: add one with `cofferdam image pull NAME` or `cofferdam image import FILE`"
        )),
        (Some(_), more) => Err(anyhow!(
            "there are {} images: say which with --image NAME",
            more + 1
        )),
    }
}

fn pod_plan(config: &Config, plan: &Plan) -> anyhow::Result<PodPlan> {
    Ok(PodPlan {
        id: new_pod_id()?,
        pods_dir: config.pod_dir(),
        cgroup: cgroup(config)?,
        home: HomePlan::Guest(Box::new(GuestPlan {
            functions: Vec::new(),
            later_functions: 0,
            monitor: config.monitor.clone(),
            share_server: config.share_server.clone(),
            scratch: config.scratch(),
            monitor_identity: (config.jail.uid, config.jail.gid),
            kernel: open("guest kernel", "kernel", &config.kernel)?,
            guest_image: open("guest image", "guest_image", &config.guest_image)?,
            size: plan.size,
            huge_pages: Vec::new(),
            console_log: config.vm.console == Console::Log,
            apparmor: false,
            kernel_arguments: config.vm.kernel_arguments.clone(),
        })),
        lifetime: Lifetime::WithLauncher,
        deadlines: Deadlines::scaled(config.deadline_scale),
    })
}

/// A host without cgroup v2 runs a single VM all the same; `cofferdam check` tells of it.
fn cgroup(config: &Config) -> anyhow::Result<Option<CgroupPlan>> {
    let mount = CgroupPlan::find_mount().context("look for cgroup v2")?;
    Ok(mount.map(|mount| CgroupPlan {
        mount,
        driver: config.cgroup.driver.settled(),
        parent: config.cgroup.parent.0.clone(),
    }))
}

fn open(what: &str, key: &str, path: &Path) -> anyhow::Result<File> {
    let advice = || {
        let path = path.display();
        format!("open the {what} {path} (set {key} in the configuration; see `cofferdam check`)")
    };
    File::open(path).with_context(advice)
}

/// The image's files go to the monitor; the image's lock stays until the pod is over.
fn root(rootfs: Rootfs, writable_bytes: u64) -> io::Result<Root> {
    let segment = |segment: &images::Segment| {
        Ok(RootSegment {
            file: segment.file.try_clone()?,
            path: segment.path.clone(),
            length_bytes: segment.length_bytes,
        })
    };
    let segments = rootfs
        .segments
        .iter()
        .map(segment)
        .collect::<io::Result<_>>()?;
    Ok(Root {
        segments,
        writable_bytes,
        hold: Box::new(rootfs),
    })
}

/// Process id and random bits: no other live pod of this host has the same.
fn new_pod_id() -> anyhow::Result<PodId> {
    let mut random = [0; 4];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .context("get random bytes for the pod's id")?;
    let id = format!("run-{}-{:08x}", process::id(), u32::from_le_bytes(random));
    Ok(id.parse()?)
}
