//! A disk of a running VM comes and goes: the guest lets go of it, the monitor takes it off the bus, and a later one in its place
//! is read for what it is. The monitor and the agent are driven by their clients, for no command does this yet.
//!
//! Main type: [`Vm`].

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use agent_client::{
    Agent, AgentError, Connector, ContainerStart, Event, EventStream, Output, PodStart, ProcessEnd,
    ProcessRef, Root, Stdio,
};
use anyhow::{Context, Result, bail, ensure};
use harness::image::{Compression, ImageBuilder, Layer};
use images::Store;
use serde_json::json;
use vm_client::{
    Deadlines, DiskId, DiskPlan, EndReason, Identity, LaunchPlan, Lifetime, Monitor, PciAddress,
    Processors, RequestError, SegmentPlan,
};

use crate::Test;
use crate::case::Case;
use crate::deadlines::{self, LOOK_AGAIN, Patience};

pub(crate) const TESTS: &[Test] = &[
    ("disk_removed_makes_room_for_another", |case| {
        in_vm(case, one_after_the_other)
    }),
    ("disk_removed_leaves_its_neighbour_alone", |case| {
        in_vm(case, neighbours)
    }),
];

const MEMORY_BYTES: u64 = 256 << 20;
/// Whom the monitor becomes: nobody's user.
const JAILED: u32 = 64055;
const HELLO: &str = "/hello";
/// More than what the test's containers say.
const SAID_BYTES: usize = 256;

/// A VM without a disk, and two images.
struct Vm {
    monitor: Monitor,
    agent: Agent,
    store: Store,
    patience: Patience,
}

/// What a monitor has open and running.
#[derive(Debug, PartialEq, Eq)]
struct Resources {
    descriptors: usize,
    threads: usize,
}

fn in_vm(case: &Case, test: impl AsyncFnOnce(&Vm) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(async {
        let vm = Vm::boot(case).await?;
        let result = test(&vm).await;
        let ending = vm
            .monitor
            .stop(case.patience.stretch(deadlines::STEP))
            .await;
        result
            .with_context(|| format!("(then the VM ended: {}: {})", ending.reason, ending.text))?;
        let stopped = ending.reason == EndReason::Stopped;
        ensure!(stopped, "the VM did not end well: {ending:?}");
        Ok(())
    })
}

async fn one_after_the_other(vm: &Vm) -> Result<()> {
    let before = vm.resources()?;
    for name in ["first", "second", "first"] {
        let address = vm.add(name).await?;
        vm.expect_to_read(name, address).await?;
        vm.remove(address).await?;
        ensure!(
            vm.monitor.status().await?.disks.is_empty(),
            "no disk is left"
        );
        vm.wait_for(&before)?;
    }
    Ok(())
}

async fn neighbours(vm: &Vm) -> Result<()> {
    let first = vm.add("first").await?;
    let second = vm.add("second").await?;
    ensure!(first != second, "two disks have two places");
    vm.expect_to_read("first", first).await?;
    vm.remove(first).await?;
    vm.expect_to_read("second", second).await?;
    let again = vm.add("first").await?;
    ensure!(again != second, "{again} is taken");
    vm.expect_to_read("first", again).await?;
    vm.expect_to_read("second", second).await
}

impl Vm {
    async fn boot(case: &Case) -> Result<Vm> {
        let store = Store::open(&case.folder().join("store")).context("open a store")?;
        for name in ["first", "second"] {
            let layout = case.folder().join(name);
            image(name)?.build()?.write_layout(&layout)?;
            store
                .import(&layout, None, &mut |_| {})
                .context("import an image")?;
        }
        let plan = launch_plan(case)?;
        let (monitor, _running) = Monitor::launch(plan).await.context("launch")?;
        let connector = Connector::Vsock {
            socket: monitor.vsock_path(),
        };
        let patience = case.patience;
        let agent = Agent::connect(connector, patience.stretch(deadlines::RUN)).await?;
        let pod = PodStart {
            pod_id: "disks".to_owned(),
            ..PodStart::default()
        };
        agent
            .start_pod(pod, patience.stretch(deadlines::STEP))
            .await?;
        Ok(Vm {
            monitor,
            agent,
            store,
            patience,
        })
    }

    fn step(&self) -> Duration {
        self.patience.stretch(deadlines::STEP)
    }

    /// Puts the image's disk on the bus, and has the guest find it.
    async fn add(&self, name: &str) -> Result<PciAddress> {
        let image = self.store.resolve(name)?;
        let segments = self.store.open_rootfs(&image)?.segments;
        let disk = DiskPlan {
            id: DiskId::try_from(name.to_owned())?,
            segments: segments
                .into_iter()
                .map(|segment| SegmentPlan {
                    file: segment.file,
                    offset: 0,
                    length: segment.length_bytes,
                })
                .collect(),
            read_only: true,
        };
        let address = self.monitor.add_disk(disk).await?;
        let place = address.to_string();
        let node = self.agent.add_device(&place, self.step()).await?;
        let node = node.context("it is a disk, and has a device node")?;
        ensure!(node.starts_with("/dev/vd"), "{node} is no virtio disk");
        Ok(address)
    }

    /// Takes the disk from the guest, then from the bus; neither has it a second time.
    async fn remove(&self, address: PciAddress) -> Result<()> {
        let place = address.to_string();
        self.agent.remove_device(&place, self.step()).await?;
        let again = self.agent.remove_device(&place, self.step()).await;
        ensure!(
            matches!(again, Err(AgentError::NotFound { .. })),
            "the guest still has {place}: {again:?}"
        );
        self.monitor.remove_device(address).await?;
        let again = self.monitor.remove_device(address).await;
        ensure!(
            matches!(&again, Err(RequestError::Refused { reason }) if reason.contains(&place)),
            "the monitor still has {place}: {again:?}"
        );
        Ok(())
    }

    /// Mounts the disk as a container's root, reads it, unmounts it.
    async fn expect_to_read(&self, name: &str, address: PciAddress) -> Result<()> {
        let id = format!("reads-{name}");
        let container = ContainerStart {
            container_id: id.clone(),
            root: Root::Disk {
                pci_address: address.to_string(),
            },
            writable_bytes: 0,
            oci_spec: serde_json::to_vec(&specification())?,
            stdio: Stdio::default(),
            share_pid_namespace: false,
            target_container_id: String::new(),
            ends_with_first_process: false,
            mounts: Vec::new(),
            disks: Vec::new(),
        };
        let mut events = self.agent.events(0).await?;
        self.agent.start_container(container, self.step()).await?;
        let process = ProcessRef {
            container_id: id.clone(),
            exec_id: String::new(),
        };
        let said = tokio::time::timeout(self.step(), self.output(&process));
        let said = said.await.context("the container does not end")??;
        ensure!(said == name, "{said:?} was read at {address}, not {name:?}");
        let end = tokio::time::timeout(self.step(), end_of(&id, &mut events)).await??;
        ensure!(end == ProcessEnd::Exited(0), "the reader: {end:?}");
        Ok(self.agent.remove_container(&id, self.step()).await?)
    }

    async fn output(&self, process: &ProcessRef) -> Result<String> {
        let mut stream = self.agent.open_output(process, Output::Stdout, 0).await?;
        let (mut said, mut buffer) = (Vec::new(), [0; SAID_BYTES]);
        while said.len() < SAID_BYTES {
            match stream.read(&mut buffer).await? {
                0 => return Ok(String::from_utf8(said)?),
                length => said.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            }
        }
        bail!("it says more than {SAID_BYTES} bytes")
    }

    fn resources(&self) -> Result<Resources> {
        let pid = self.monitor.pid().context("the monitor has a process id")?;
        let count = |what: &str| -> Result<usize> {
            let path = format!("/proc/{pid}/{what}");
            let entries = fs::read_dir(&path).with_context(|| format!("read {path}"))?;
            Ok(entries.count())
        };
        Ok(Resources {
            descriptors: count("fd")?,
            threads: count("task")?,
        })
    }

    /// The thread of a disk that is gone may still be ending.
    fn wait_for(&self, expected: &Resources) -> Result<()> {
        let deadline = Instant::now() + self.step();
        loop {
            let now = self.resources()?;
            if now == *expected {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the monitor had {expected:?} without a disk, and has {now:?}"
            );
            thread::park_timeout(LOOK_AGAIN);
        }
    }
}

async fn end_of(container: &str, events: &mut EventStream) -> Result<ProcessEnd, AgentError> {
    loop {
        if let Event::ProcessExited { process, end, .. } = events.next().await?
            && process.container_id == container
        {
            return Ok(end);
        }
    }
}

fn launch_plan(case: &Case) -> Result<LaunchPlan> {
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
        name: "disks".to_owned(),
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
        vfio: None,
        deadlines: Deadlines::scaled(case.patience.scale()),
    })
}

/// Says its own name.
fn image(name: &str) -> Result<ImageBuilder> {
    let busybox = Path::new("/bin/busybox");
    let program = fs::read(busybox).with_context(|| format!("read {busybox:?}"))?;
    let layer = Layer::new(Compression::None)
        .directory("bin", 0o755)
        .directory("dev", 0o755)
        .directory("proc", 0o755)
        .file("bin/busybox", 0o755, program)
        .file(HELLO.trim_start_matches('/'), 0o644, name);
    Ok(ImageBuilder::new(&format!("{name}:latest")).layer(layer))
}

fn specification() -> serde_json::Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/busybox", "cat", HELLO],
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
