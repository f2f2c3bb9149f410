//! A function of the host is given to a VM by VFIO: the guest works on the device itself, and the host has it back, with all that the guest
//! did to it. The monitor and the agent are driven by their clients. The device is the test host's spare disk, a virtio disk behind an
//! IOMMU: interrupts by MSI-X, registers mapped, DMA both ways.
//!
//! Main type: [`Given`].

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use agent_client::{
    Agent, Connector, ContainerDisk, ContainerStart, Event, Output, PodStart, ProcessEnd,
    ProcessRef, Root, Stdio,
};
use anyhow::{Context, Result, ensure};
use harness::image::{Compression, ImageBuilder, Layer};
use images::Store;
use serde_json::json;
use vm_client::{
    Deadlines, DiskId, DiskPlan, EndReason, Identity, LaunchPlan, Lifetime, Monitor, PciAddress,
    Processors, SegmentPlan, VfioPlan,
};

use crate::Test;
use crate::case::Case;
use crate::deadlines;
use crate::spare::{CONTAINER, Spare};

pub(crate) const TESTS: &[Test] = &[
    ("guest_reads_and_writes_a_disk_of_the_host", |case| {
        run(reads_and_writes(case))
    }),
    ("function_that_can_not_be_given_is_refused", |case| {
        run(refused(case))
    }),
];

const MEMORY_BYTES: u64 = 256 << 20;
/// Whom the monitor becomes: nobody's user.
const JAILED: u32 = 64055;
const BLOCK: usize = 4096;
/// Where the guest writes what the host reads afterwards.
const ANSWER_AT: u64 = 4 << 20;
const ANSWER: &str = "written by the guest";
const SAID_BYTES: usize = 4096;

/// A VM that has a function of the host.
struct Given<'a> {
    case: &'a Case,
    monitor: Monitor,
    agent: Agent,
    /// Where the guest sees it.
    place: PciAddress,
}

fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(test)
}

/// Twice: a device that was given away once can be given away again.
async fn reads_and_writes(case: &Case) -> Result<()> {
    let Some(spare) = Spare::find(case)? else {
        return Ok(());
    };
    for round in 0..2_u8 {
        let known: Vec<u8> = (0..=255_u8).cycle().take(1 << 20).collect();
        let known: Vec<u8> = known.iter().map(|byte| byte ^ round).collect();
        spare.write(case, 0, &known)?;
        spare.write(case, ANSWER_AT, &[0; BLOCK])?;
        let expected = sum(case, &spare)?;

        let group = spare.give_away()?;
        let given = Given::boot(case, &spare, &group).await?;
        let said = given.work(round).await;
        given.stop().await?;
        let said = said?;
        ensure!(
            said.trim() == expected,
            "the guest read {said:?}, and the host wrote {expected:?}"
        );

        spare.take_back()?;
        let answer = spare.read(case, ANSWER_AT, ANSWER.len())?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(answer == ANSWER, "the disk has {answer:?}");
    }
    Ok(())
}

/// Of the whole disk, as the guest's `md5sum` says it.
fn sum(case: &Case, spare: &Spare) -> Result<String> {
    let file = case.folder().join("content");
    let length = usize::try_from(spare.bytes)?;
    fs::write(&file, spare.read(case, 0, length)?)?;
    let said = std::process::Command::new("md5sum").arg(&file).output()?;
    let said = String::from_utf8(said.stdout)?;
    let sum = said.split_whitespace().next();
    Ok(sum.context("md5sum says a sum")?.to_owned())
}

/// The reason reaches the launcher, and no monitor stays.
async fn refused(case: &Case) -> Result<()> {
    let Some(spare) = Spare::find(case)? else {
        return Ok(());
    };
    let group = spare.give_away()?;
    let open = |path: &Path| File::options().read(true).write(true).open(path);
    let address = spare.address.parse()?;
    let elsewhere = "0000:00:00.0".parse()?;
    for (container, group, address, expected) in [
        (Path::new("/dev/null"), &*group, address, "container"),
        (
            Path::new(CONTAINER),
            Path::new("/dev/null"),
            address,
            "group",
        ),
        (Path::new(CONTAINER), &group, elsewhere, "0000:00:00.0"),
    ] {
        let vfio = VfioPlan {
            container: open(container)?,
            groups: vec![open(group)?],
            functions: vec![(address, 0)],
        };
        let launched = Monitor::launch(launch_plan(case, vfio)?).await;
        let error = launched.err().context("it was launched")?.to_string();
        ensure!(
            error.contains(expected),
            "{error:?} does not name {expected:?}"
        );
        case.no_monitor()?;
        fs::remove_dir_all(case.folder().join("vm"))?;
    }
    Ok(())
}

impl<'a> Given<'a> {
    async fn boot(case: &'a Case, spare: &Spare, group: &Path) -> Result<Self> {
        let open = |path: &Path| {
            let opened = File::options().read(true).write(true).open(path);
            opened.with_context(|| format!("open {path:?}"))
        };
        let host_address: PciAddress = spare.address.parse()?;
        let vfio = VfioPlan {
            container: open(Path::new(CONTAINER))?,
            groups: vec![open(group)?],
            functions: vec![(host_address, 0)],
        };
        let (monitor, _running) = Monitor::launch(launch_plan(case, vfio)?)
            .await
            .context("launch")?;
        let connector = Connector::Vsock {
            socket: monitor.vsock_path(),
        };
        let agent = Agent::connect(connector, case.patience.stretch(deadlines::RUN)).await?;
        let pod = PodStart {
            pod_id: "vfio".to_owned(),
            ..PodStart::default()
        };
        let step = case.patience.stretch(deadlines::STEP);
        agent.start_pod(pod, step).await?;
        let status = monitor.status().await?;
        let place = status.vfio.get(&host_address).copied();
        Ok(Self {
            case,
            monitor,
            agent,
            place: place.context("the monitor says where the guest sees it")?,
        })
    }

    fn step(&self) -> Duration {
        self.case.patience.stretch(deadlines::STEP)
    }

    /// A container has the disk: it reads all of it, and then writes. What it said.
    async fn work(&self, round: u8) -> Result<String> {
        let root = self.add_image(round).await?;
        let id = format!("worker-{round}");
        let seek = ANSWER_AT / BLOCK as u64;
        let script = format!(
            "set -e; busybox md5sum /dev/given | busybox cut -d' ' -f1; \
             printf '{ANSWER}' | busybox dd of=/dev/given bs={BLOCK} seek={seek} conv=fsync 2>/dev/null"
        );
        let container = ContainerStart {
            container_id: id.clone(),
            root: Root::Disk {
                pci_address: root.to_string(),
            },
            writable_bytes: 0,
            oci_spec: serde_json::to_vec(&specification(&script))?,
            stdio: Stdio::default(),
            share_pid_namespace: false,
            target_container_id: String::new(),
            ends_with_first_process: false,
            mounts: Vec::new(),
            disks: vec![ContainerDisk {
                pci_address: self.place.to_string(),
                path: "/dev/given".to_owned(),
                access: "rwm".to_owned(),
                mode: 0o660,
                uid: 0,
                gid: 0,
            }],
        };
        let mut events = self.agent.events(0).await?;
        self.agent.start_container(container, self.step()).await?;
        let process = ProcessRef {
            container_id: id.clone(),
            exec_id: String::new(),
        };
        let said = tokio::time::timeout(self.step(), self.output(&process));
        let said = said.await.context("the container does not end")??;
        loop {
            let event = tokio::time::timeout(self.step(), events.next()).await??;
            if let Event::ProcessExited { process, end, .. } = event
                && process.container_id == id
            {
                ensure!(end == ProcessEnd::Exited(0), "the worker: {end:?}: {said}");
                return Ok(said);
            }
        }
    }

    async fn output(&self, process: &ProcessRef) -> Result<String> {
        let mut stream = self.agent.open_output(process, Output::Stdout, 0).await?;
        let (mut said, mut buffer) = (Vec::new(), [0; SAID_BYTES]);
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(String::from_utf8(said)?),
                length => said.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            }
        }
    }

    async fn add_image(&self, round: u8) -> Result<PciAddress> {
        let folder = self.case.folder().join(format!("store-{round}"));
        let store = Store::open(&folder).context("open a store")?;
        let layout = self.case.folder().join(format!("layout-{round}"));
        image()?.build()?.write_layout(&layout)?;
        store.import(&layout, None, &mut |_| {})?;
        let segments = store.open_rootfs(&store.resolve(IMAGE)?)?.segments;
        let segments = segments.into_iter().map(|segment| SegmentPlan {
            file: segment.file,
            offset: 0,
            length: segment.length_bytes,
        });
        let disk = DiskPlan {
            id: DiskId::try_from("image".to_owned())?,
            segments: segments.collect(),
            read_only: true,
        };
        Ok(self.monitor.add_disk(disk).await?)
    }

    async fn stop(self) -> Result<()> {
        let ending = self.monitor.stop(self.step()).await;
        ensure!(
            ending.reason == EndReason::Stopped,
            "the VM ended: {}: {}\n{}",
            ending.reason,
            ending.text,
            ending.console_tail
        );
        fs::remove_dir_all(self.case.folder().join("vm")).context("remove the run folder")
    }
}

const IMAGE: &str = "worker";

fn image() -> Result<ImageBuilder> {
    let busybox = Path::new("/bin/busybox");
    let program = fs::read(busybox).with_context(|| format!("read {busybox:?}"))?;
    let layer = Layer::new(Compression::None)
        .directory("bin", 0o755)
        .directory("dev", 0o755)
        .directory("proc", 0o755)
        .file("bin/busybox", 0o755, program);
    Ok(ImageBuilder::new(&format!("{IMAGE}:latest")).layer(layer))
}

fn specification(script: &str) -> serde_json::Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/busybox", "sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs" },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }],
        },
    })
}

fn launch_plan(case: &Case, vfio: VfioPlan) -> Result<LaunchPlan> {
    let run_folder = case.folder().join("vm");
    fs::create_dir(&run_folder).context("make a run folder")?;
    let open = |name: &str| {
        let path = case.dist().join(name);
        File::open(&path).with_context(|| format!("open {path:?}"))
    };
    Ok(LaunchPlan {
        program: case.dist().join("cofferdam-vmm"),
        run_folder,
        cgroup: None,
        name: "vfio".to_owned(),
        identity: Identity {
            uid: JAILED,
            gid: JAILED,
        },
        lifetime: Lifetime::WithLauncher,
        processors: Processors { boot: 1, max: 1 },
        memory_bytes: MEMORY_BYTES,
        command_line: String::new(),
        kernel: open("vmlinux")?,
        guest_image: Some(open("guest.cpio")?),
        console: None,
        disks: Vec::new(),
        nics: Vec::new(),
        vfio: Some(vfio),
        deadlines: Deadlines::scaled(case.patience.scale()),
    })
}
