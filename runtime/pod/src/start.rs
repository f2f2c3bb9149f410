//! The start of a pod, step by step; each step that fails ends in the teardown. Main function: [`start`]. ARCHITECTURE.md numbers
//! these steps 3 to 11.

use std::{fs::File, time::Instant};

use agent_client::{
    Agent, AgentError, Connector, ContainerStart, Output, PodStart, ProcessRef, Root as AgentRoot,
    Stdio,
};
use model::{ContainerId, ContainerSpec, Stages};
use vm_client::{
    DiskId, DiskPlan, Identity, LaunchPlan, Lifetime, Monitor, PciAddress, Processors, Running,
    SegmentPlan,
};

use crate::{
    Deadlines,
    error::PodError,
    handle::Streams,
    oci,
    plan::{PodPlan, Root},
    record::RunFolder,
    teardown::{Held, teardown},
};

/// The console's file in the run folder.
const CONSOLE_LOG: &str = "console.log";

/// A pod that runs: what its owner holds, and what the caller gets.
pub(crate) struct Started {
    pub(crate) held: Held,
    pub(crate) agent: Agent,
    pub(crate) streams: Streams,
    pub(crate) stages: Stages,
    pub(crate) launch: Running,
}

/// What is left to do once the monitor runs.
struct Boot {
    hostname: String,
    pod: String,
    processors: u8,
    deadlines: Deadlines,
    container: ContainerId,
    spec: ContainerSpec,
    writable_bytes: u64,
    disk: DiskPlan,
}

/// Starts the pod with its first container. A start that fails leaves nothing.
pub(crate) async fn start(plan: PodPlan) -> Result<Started, PodError> {
    let mut stages = Stages::begin(Instant::now());
    let deadlines = plan.deadlines;
    let folder = RunFolder::create(&plan.pods_dir, &plan.id).map_err(PodError::Folder)?;
    let (launch_plan, boot, lent) = match divide(plan, &folder) {
        Ok(parts) => parts,
        Err(error) => {
            // The first error is the one to report; a folder that stays is swept.
            drop(folder.remove());
            return Err(error);
        }
    };
    let pod = boot
        .pod
        .parse()
        .map_err(|_checked_before| PodError::TornDown)?;
    let mut held = Held {
        pod,
        lent,
        folder,
        monitor: None,
    };
    let result = run_up(&mut held, launch_plan, boot, &mut stages).await;
    match result {
        Ok((agent, streams, launch)) => Ok(Started {
            held,
            agent,
            streams,
            stages,
            launch,
        }),
        Err(error) => {
            if let Err(left) = teardown(held, deadlines).await {
                tracing::warn!(%left, "a failed start could not be cleaned up");
            }
            Err(error)
        }
    }
}

/// Divides the plan between the monitor, the rest of the start, and what is only held.
fn divide(
    plan: PodPlan,
    folder: &RunFolder,
) -> Result<(LaunchPlan, Boot, Box<dyn std::any::Any + Send + Sync>), PodError> {
    let (uid, gid) = plan.monitor_identity;
    let console = plan
        .console_log
        .then(|| File::create_new(folder.path().join(CONSOLE_LOG)))
        .transpose()
        .map_err(PodError::Console)?;
    let Root {
        segments,
        writable_bytes,
        hold,
    } = plan.container.root;
    let no_name = |_invalid| PodError::DiskName {
        container: plan.container.id.to_string(),
    };
    let disk = DiskPlan {
        id: DiskId::try_from("image".to_owned()).map_err(no_name)?,
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
    let launch = LaunchPlan {
        program: plan.monitor,
        run_folder: folder.path().to_owned(),
        name: plan.id.to_string(),
        identity: Identity { uid, gid },
        lifetime: if plan.ends_with_launcher {
            Lifetime::WithLauncher
        } else {
            Lifetime::UntilStopped
        },
        processors: Processors {
            boot: plan.size.processors,
            max: plan.size.processors,
        },
        memory_bytes: plan.size.memory_bytes(),
        command_line: plan.kernel_arguments,
        kernel: plan.kernel,
        guest_image: Some(plan.guest_image),
        console,
        disks: Vec::new(),
    };
    let boot = Boot {
        hostname: plan.hostname,
        pod: plan.id.to_string(),
        processors: plan.size.processors,
        deadlines: plan.deadlines,
        container: plan.container.id,
        spec: plan.container.spec,
        writable_bytes,
        disk,
    };
    Ok((launch, boot, hold))
}

async fn run_up(
    held: &mut Held,
    launch_plan: LaunchPlan,
    boot: Boot,
    stages: &mut Stages,
) -> Result<(Agent, Streams, Running), PodError> {
    let launched = Monitor::launch(launch_plan).await;
    let (monitor, launch) = launched.map_err(|error| PodError::Launch(Box::new(error)))?;
    let monitor = held.monitor.insert(monitor);
    stages.end("monitor launched and jailed", Instant::now());

    let connector = Connector::Vsock {
        socket: monitor.vsock_path(),
    };
    let connect = Agent::connect(connector, boot.deadlines.boot);
    let connect = agent_call("wait for the guest to boot", connect);
    let agent = while_alive(monitor, "booting", boot.deadlines, connect).await?;
    stages.end("guest booted, agent answered", Instant::now());

    let Boot {
        deadlines, disk, ..
    } = boot;
    let boot = Boot {
        disk: DiskPlan {
            segments: Vec::new(),
            id: disk.id.clone(),
            read_only: true,
        },
        ..boot
    };
    let add = async { monitor.add_disk(disk).await.map_err(PodError::Disk) };
    let disk_address = while_alive(monitor, "its disk was added", deadlines, add).await?;
    stages.end("disk added", Instant::now());

    let request = start_request(&boot, disk_address)?;
    let call = agent.start_pod(request, deadlines.start);
    let call = agent_call("start the container", call);
    while_alive(monitor, "the container was started", deadlines, call).await?;
    stages.end("container started", Instant::now());

    let open = async { open_streams(&agent, &boot).await };
    let streams = while_alive(monitor, "its streams were connected", deadlines, open).await?;
    stages.end("streams connected", Instant::now());
    Ok((agent, streams, launch))
}

fn start_request(boot: &Boot, disk: PciAddress) -> Result<PodStart, PodError> {
    let specification = oci::specification(&boot.spec, &boot.hostname)
        .map_err(|error| PodError::Specification(error.into()))?;
    let oci_spec = serde_json::to_vec(&specification)
        .map_err(|error| PodError::Specification(error.into()))?;
    let terminal = boot.spec.terminal.map(|terminal| {
        terminal.size.map_or((0, 0), |size| {
            (u32::from(size.columns), u32::from(size.rows))
        })
    });
    let container = ContainerStart {
        container_id: boot.container.to_string(),
        root: AgentRoot::Disk {
            pci_address: disk.to_string(),
        },
        writable_bytes: boot.writable_bytes,
        oci_spec,
        stdio: Stdio {
            stdin: boot.spec.stdin,
            terminal,
        },
    };
    Ok(PodStart {
        pod_id: boot.pod.clone(),
        hostname: boot.hostname.clone(),
        processors: boot.processors.into(),
        wall_clock_ns: wall_clock_ns(),
        container: Some(container),
        ..PodStart::default()
    })
}

/// This host's time; 0, which leaves the guest's clock alone, where it is before 1970.
fn wall_clock_ns() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

async fn open_streams(agent: &Agent, boot: &Boot) -> Result<Streams, PodError> {
    let id = ProcessRef {
        container_id: boot.container.to_string(),
        exec_id: String::new(),
    };
    let stdin = if boot.spec.stdin {
        Some(agent.open_stdin(&id, 0).await.map_err(PodError::Stdio)?)
    } else {
        None
    };
    let stdout = agent
        .open_output(&id, Output::Stdout, 0)
        .await
        .map_err(PodError::Stdio)?;
    let stderr = if boot.spec.terminal.is_none() {
        Some(
            agent
                .open_output(&id, Output::Stderr, 0)
                .await
                .map_err(PodError::Stdio)?,
        )
    } else {
        None
    };
    Ok(Streams {
        stdin,
        stdout,
        stderr,
    })
}

async fn agent_call<T>(
    attempt: &'static str,
    call: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, PodError> {
    call.await
        .map_err(|source| PodError::Agent { attempt, source })
}

/// Does `work` unless the guest ends first. Work that failed because the guest ended says how it ended instead.
async fn while_alive<T>(
    monitor: &Monitor,
    during: &'static str,
    deadlines: Deadlines,
    work: impl Future<Output = Result<T, PodError>>,
) -> Result<T, PodError> {
    let error = tokio::select! {
        biased;
        result = work => match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        },
        ending = monitor.ended() => {
            return Err(PodError::GuestEnded { during, ending: Box::new(ending) });
        }
    };
    if error.fault() != model::Fault::GuestLost {
        return Err(error);
    }
    match tokio::time::timeout(deadlines.stop, monitor.ended()).await {
        Ok(ending) => Err(PodError::GuestEnded {
            during,
            ending: Box::new(ending),
        }),
        Err(_still_there) => Err(error),
    }
}
