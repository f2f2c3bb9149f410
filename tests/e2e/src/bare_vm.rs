//! A VM without a pod's owner: a test drives it by the clients of its monitor and of its agent. Main type: [`BareVm`].

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use agent_client::{
    Agent, AgentError, Connector, ContainerDisk, ContainerStart, Event, EventStream, Output,
    PodStart, ProcessEnd, ProcessRef, Root, Stdio,
};
use anyhow::{Context, Result, bail, ensure};
use harness::image::{Compression, ImageBuilder, Layer};
use images::Store;
use serde_json::{Value, json};
use vm_client::{
    Deadlines, DiskId, DiskPlan, EndReason, Ending, Identity, LaunchPlan, Lifetime, Monitor,
    PciAddress, Processors, SegmentPlan, VfioPlan,
};

use crate::case::Case;
use crate::deadlines::{self, Patience};

const MEMORY_BYTES: u64 = 256 << 20;
/// Whom the monitor becomes: nobody's user.
const JAILED: u32 = 64055;
/// More than what the containers of these tests say.
const SAID_BYTES: usize = 4096;

/// A running VM; its agent has been told that it is a pod.
pub(crate) struct BareVm {
    pub(crate) monitor: Monitor,
    pub(crate) agent: Agent,
    patience: Patience,
}

/// A VM of this name, with functions of the host.
pub(crate) fn launch_plan(case: &Case, name: &str, vfio: Option<VfioPlan>) -> Result<LaunchPlan> {
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
        name: name.to_owned(),
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
        vfio,
        later_functions: 0,
        deadlines: Deadlines::scaled(case.patience.scale()),
    })
}

impl BareVm {
    pub(crate) async fn boot(case: &Case, plan: LaunchPlan) -> Result<Self> {
        let pod = PodStart {
            pod_id: plan.name.clone(),
            ..PodStart::default()
        };
        let (monitor, _running) = Monitor::launch(plan).await.context("launch")?;
        let connector = Connector::Vsock {
            socket: monitor.vsock_path(),
        };
        let patience = case.patience;
        let agent = Agent::connect(connector, patience.stretch(deadlines::RUN)).await?;
        let vm = Self {
            monitor,
            agent,
            patience,
        };
        vm.agent.start_pod(pod, vm.step()).await?;
        Ok(vm)
    }

    pub(crate) fn step(&self) -> Duration {
        self.patience.stretch(deadlines::STEP)
    }

    /// Puts an image's disk on the bus.
    pub(crate) async fn add_image(&self, store: &Store, name: &str) -> Result<PciAddress> {
        let segments = store.open_rootfs(&store.resolve(name)?)?.segments;
        let segments = segments.into_iter().map(|segment| SegmentPlan {
            file: segment.file,
            offset: 0,
            length: segment.length_bytes,
        });
        let disk = DiskPlan {
            id: DiskId::try_from(name.to_owned())?,
            segments: segments.collect(),
            read_only: true,
        };
        Ok(self.monitor.add_disk(disk).await?)
    }

    /// Runs a container to its end, which is a good one. What it said.
    pub(crate) async fn run(
        &self,
        id: &str,
        root: PciAddress,
        command: &[&str],
        disks: Vec<ContainerDisk>,
    ) -> Result<String> {
        let command: Vec<&str> = ["/bin/busybox"].iter().chain(command).copied().collect();
        self.run_specified((id, root), &specification(&command), disks)
            .await
    }

    /// The same for a program that drives devices itself: it sees /sys and physical addresses.
    pub(crate) async fn run_driver(
        &self,
        id: &str,
        root: PciAddress,
        command: &[&str],
    ) -> Result<String> {
        let specification = of_driver(specification(command));
        self.run_specified((id, root), &specification, Vec::new())
            .await
    }

    async fn run_specified(
        &self,
        (id, root): (&str, PciAddress),
        specification: &Value,
        disks: Vec<ContainerDisk>,
    ) -> Result<String> {
        let container = ContainerStart {
            container_id: id.to_owned(),
            root: Root::Disk {
                pci_address: root.to_string(),
            },
            writable_bytes: 0,
            oci_spec: serde_json::to_vec(specification)?,
            stdio: Stdio::default(),
            share_pid_namespace: false,
            target_container_id: String::new(),
            ends_with_first_process: false,
            mounts: Vec::new(),
            disks,
        };
        let mut events = self.agent.events(0).await?;
        self.agent.start_container(container, self.step()).await?;
        let process = ProcessRef {
            container_id: id.to_owned(),
            exec_id: String::new(),
        };
        let said = tokio::time::timeout(self.step(), self.output(&process));
        let said = said.await.context("the container does not end")??;
        let end = tokio::time::timeout(self.step(), end_of(id, &mut events)).await??;
        ensure!(end == ProcessEnd::Exited(0), "{id}: {end:?}: {said}");
        self.agent.remove_container(id, self.step()).await?;
        Ok(said)
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

    /// Ends it, whatever the test came to; the test's own error is the one to report.
    pub(crate) async fn end<T>(self, case: &Case, result: Result<T>) -> Result<T> {
        let ending: Ending = self.monitor.stop(self.step()).await;
        let about = format!(
            "the VM ended: {}: {}\n{}",
            ending.reason, ending.text, ending.console_tail
        );
        let result = result.with_context(|| format!("(then {about})"))?;
        ensure!(ending.reason == EndReason::Stopped, "{about}");
        fs::remove_dir_all(case.folder().join("vm")).context("remove the run folder")?;
        Ok(result)
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

/// An image with busybox, a file, and the folders that its container mounts on.
pub(crate) fn import(case: &Case, store: &Store, name: &str, file: (&str, &str)) -> Result<()> {
    let layer = base()?.file(file.0, 0o644, file.1);
    import_layer(case, store, name, layer)
}

/// The same with a program of the dist folder in /bin.
pub(crate) fn import_program(case: &Case, store: &Store, name: &str) -> Result<()> {
    let program = case.dist().join(name);
    let bytes = fs::read(&program).with_context(|| format!("read {program:?}"))?;
    let layer = base()?.file(&format!("bin/{name}"), 0o755, bytes);
    import_layer(case, store, name, layer)
}

fn base() -> Result<Layer> {
    let busybox = Path::new("/bin/busybox");
    let program = fs::read(busybox).with_context(|| format!("read {busybox:?}"))?;
    Ok(Layer::new(Compression::None)
        .directory("bin", 0o755)
        .directory("dev", 0o755)
        .directory("proc", 0o755)
        .directory("sys", 0o755)
        .file("bin/busybox", 0o755, program))
}

fn import_layer(case: &Case, store: &Store, name: &str, layer: Layer) -> Result<()> {
    let layout = case.folder().join(format!("layout-{name}"));
    let image = ImageBuilder::new(&format!("{name}:latest")).layer(layer);
    image.build()?.write_layout(&layout)?;
    let imported = store.import(&layout, None, &mut |_| {});
    imported.map(drop).context("import an image")
}

fn specification(args: &[&str]) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": args,
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

fn of_driver(mut specification: Value) -> Value {
    let rights = ["CAP_SYS_ADMIN"];
    let sets = ["bounding", "effective", "permitted"].map(|set| (set.to_owned(), json!(rights)));
    specification["process"]["capabilities"] = Value::Object(sets.into_iter().collect());
    if let Some(mounts) = specification["mounts"].as_array_mut() {
        mounts.push(json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs" }));
    }
    specification
}
