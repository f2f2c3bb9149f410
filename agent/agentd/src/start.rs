//! Starts a container or one more process of it: the tasks that do the owner's slow work. What a failed start has made, it releases.

use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc};

use agent::agent as wire;
use container::{
    ChildStdio, Folder, Launch, LaunchError, Launched, Process as OciProcess, Spec, UserNamespace,
    WindowSize, cgroup::Cgroup, mount_disks, mount_files, mount_volumes,
};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::task::spawn_blocking;

use crate::{
    arguments::Setting,
    container_disks::{self, DiskPlan},
    deadlines::DEVICE_DEADLINE,
    devices::{self, PciAddress},
    fault::{Fault, FaultKind},
    holdings::Holdings,
    ids::{ContainerId, ExecId},
    image_files::ImageFiles,
    layer::Layer,
    pod_files::PodFiles,
    process::Process,
    root_fs::{self, Image},
    scratch::Scratch,
    stdio,
    volumes::{VolumeMount, Volumes},
};

/// Launchers are this program. The link follows it to every root and over every upgrade.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// A checked `StartContainerRequest`.
#[derive(Debug)]
pub(crate) struct ContainerPlan {
    pub(crate) id: ContainerId,
    pub(crate) spec: Spec,
    pub(crate) root: RootPlan,
    pub(crate) writable_bytes: u64,
    pub(crate) stdio: StdioPlan,
    pub(crate) pid: PidPlan,
    /// Its other processes are killed when its first has ended.
    pub(crate) ends_with_first_process: bool,
    /// The pod's, which the specification has joined. Its owner says it.
    pub(crate) user: Option<UserNamespace>,
    pub(crate) mounts: Vec<VolumeMount>,
    pub(crate) disks: Vec<DiskPlan>,
}

/// In which PID namespace a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PidPlan {
    /// The one that the specification says.
    Specified,
    Pod,
    /// Of the first process of this one.
    Container(ContainerId),
}

/// What is to be below the container's writable layer.
#[derive(Debug)]
pub(crate) enum RootPlan {
    Disk(PciAddress),
    Directory(PathBuf),
    Files(ImageFiles),
}

/// A checked `Stdio`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StdioPlan {
    stdin: bool,
    terminal: Option<WindowSize>,
}

/// A container whose first process has been executed.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) holdings: Holdings,
    pub(crate) launch: Launch,
    pub(crate) process: Process,
    pub(crate) ends_with_first_process: bool,
}

impl PidPlan {
    pub(crate) fn parse(request: &wire::StartContainerRequest) -> Result<Self, Fault> {
        match (
            request.share_pid_namespace,
            request.target_container_id.as_str(),
        ) {
            (true, "") => Ok(Self::Pod),
            (false, "") => Ok(Self::Specified),
            (false, target) => Ok(Self::Container(ContainerId::parse(target)?)),
            (true, _) => Err(Fault::invalid(
                "a container can't be in the pod's PID namespace and in that of a target",
            )),
        }
    }
}

impl StdioPlan {
    pub(crate) fn parse(stdio: &wire::Stdio) -> Result<Self, Fault> {
        let window = window_size(stdio.columns, stdio.rows)?;
        Ok(Self {
            stdin: stdio.stdin,
            terminal: stdio.terminal.then_some(window),
        })
    }
}

/// A terminal's size from the wire.
pub(crate) fn window_size(columns: u32, rows: u32) -> Result<WindowSize, Fault> {
    let number = |number: u32| {
        u16::try_from(number)
            .map_err(|_large| Fault::invalid(format!("a terminal can't be {columns} by {rows}")))
    };
    Ok(WindowSize {
        columns: number(columns)?,
        rows: number(rows)?,
    })
}

/// Everything from the folder to the executed command.
pub(crate) async fn container(
    setting: Arc<Setting>,
    (volumes, scratch): (Volumes, Scratch),
    plan: ContainerPlan,
) -> Result<Running, Fault> {
    let image = match &plan.root {
        RootPlan::Disk(address) => {
            let named = format!("the device at {address}");
            Image::Disk(devices::add_disk(*address, &named, DEVICE_DEADLINE).await?)
        }
        RootPlan::Directory(path) => Image::Directory(path.clone()),
        RootPlan::Files(files) => Image::Files(files.clone()),
    };
    let disks = container_disks::bring_in(&plan.disks, plan.user.as_ref()).await?;
    let cgroup = setting.cgroup.join(plan.id.as_str());
    let folder = Folder::create(&setting.state, plan.id.as_str()).map_err(|error| {
        Fault::new(
            FaultKind::Internal,
            format!("make the container's folder: {error}"),
        )
    })?;
    let layer_folder = layer_folder(&setting, &plan.id);
    let holdings = Holdings {
        folder: folder.clone(),
        cgroup: Cgroup::at(&cgroup),
        layer: Layer::of(plan.writable_bytes, layer_folder, &scratch),
    };
    let launch = Launch {
        program: THIS_PROGRAM.into(),
        container_id: plan.id.to_string(),
        folder: folder.clone(),
        cgroup,
    };
    // In a PID namespace of its own the kernel sees to it.
    let ends_with_first_process = plan.ends_with_first_process || plan.pid != PidPlan::Specified;
    let (mut spec, read_only) = (plan.spec, plan.writable_bytes == 0);
    let files = PodFiles::below(&setting.state);
    let (first, layer) = (launch.clone(), holdings.layer.clone());
    let started = start(plan.stdio, move |stdio| {
        let user = plan.user;
        root_fs::mount(&folder, &image, &layer, user.as_ref())
            .map_err(|error| Fault::internal(&error))?;
        let mounts = volumes.bind(&plan.mounts, &folder, user.as_ref())?;
        mount_volumes(&mut spec, &mounts, &folder.root())?;
        mount_disks(&mut spec, &disks, &folder.root())?;
        let files = files.of(&spec, folder.path(), user.as_ref().map(UserNamespace::root));
        let files = files.map_err(|error| Fault::internal(&error))?;
        mount_files(&mut spec, &files, &folder.root(), !read_only)?;
        Ok(first.create(spec, (read_only, user), stdio)?)
    });
    match started.await {
        Ok(process) => Ok(Running {
            holdings,
            launch,
            process,
            ends_with_first_process,
        }),
        Err(fault) => Err(undo(holdings, fault).await),
    }
}

/// On a host that has a folder for them.
fn layer_folder(setting: &Setting, id: &ContainerId) -> Option<PathBuf> {
    let all = setting.own.layers.as_ref();
    all.map(|all| all.join(id.as_str()))
}

/// One more process.
pub(crate) async fn exec(
    launch: Launch,
    exec: ExecId,
    process: OciProcess,
    stdio: StdioPlan,
) -> Result<Process, Fault> {
    start(stdio, move |stdio| {
        launch
            .exec(exec.as_str(), process, stdio)
            .map_err(LaunchError::into)
    })
    .await
}

async fn undo(holdings: Holdings, fault: Fault) -> Fault {
    match blocking(move || holdings.release().map_err(|error| Fault::internal(&error))).await {
        Ok(()) => fault,
        Err(second) => {
            let message = format!("{}; and then: {}", fault.message, second.message);
            Fault { message, ..fault }
        }
    }
}

/// Makes the streams, has the process started with their other ends, and starts the streams' tasks.
async fn start(
    plan: StdioPlan,
    launch: impl FnOnce(ChildStdio) -> Result<Launched, Fault> + Send + 'static,
) -> Result<Process, Fault> {
    if let Some(window) = plan.terminal {
        let launched = blocking(move || launch(ChildStdio::Terminal(window))).await?;
        return with_terminal(launched, plan.stdin);
    }
    let (our_stdin, stdin) = match plan.stdin {
        true => pipe().map(|(reads, writes)| (Some(writes), Some(reads)))?,
        false => (None, None),
    };
    let (our_stdout, stdout) = pipe()?;
    let (our_stderr, stderr) = pipe()?;
    let launched = blocking(move || {
        launch(ChildStdio::Pipes {
            stdin,
            stdout,
            stderr,
        })
    })
    .await?;
    Ok(Process {
        pid: launched.pid,
        user: launched.user,
        stdin: our_stdin
            .map(end)
            .transpose()?
            .map(|sink| stdio::input::start(sink, false)),
        stdout: stdio::output::start(end(our_stdout)?),
        stderr: Some(stdio::output::start(end(our_stderr)?)),
        terminal: None,
        exit: None,
    })
}

fn with_terminal(launched: Launched, stdin: bool) -> Result<Process, Fault> {
    let fd = launched.terminal.ok_or_else(|| {
        Fault::new(
            FaultKind::Internal,
            "the launcher sent no terminal with the process",
        )
    })?;
    let terminal = end(fd)?;
    Ok(Process {
        pid: launched.pid,
        user: launched.user,
        stdin: stdin.then(|| stdio::input::start(Arc::clone(&terminal), true)),
        stdout: stdio::output::start(Arc::clone(&terminal)),
        stderr: None,
        terminal: Some(terminal),
        exit: None,
    })
}

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<Value: Send + 'static>(
    work: impl FnOnce() -> Result<Value, Fault> + Send + 'static,
) -> Result<Value, Fault> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Fault::internal(&error)),
    }
}

/// (reading end, writing end)
fn pipe() -> Result<(OwnedFd, OwnedFd), Fault> {
    pipe_with(PipeFlags::CLOEXEC)
        .map_err(|errno| Fault::new(FaultKind::Internal, format!("make a pipe: {errno}")))
}

fn end(fd: OwnedFd) -> Result<stdio::ProcessEnd, Fault> {
    stdio::process_end(fd)
        .map_err(|error| Fault::new(FaultKind::Internal, format!("watch a stream: {error}")))
}
