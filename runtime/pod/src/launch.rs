//! The start of a pod: first a VM whose agent answers, then, by its identity, a pod. Main type: [`Booted`], the VM between the two.
//! ARCHITECTURE.md numbers these steps 3 to 8. Each step that fails ends in the teardown.

use std::{fs::File, path::PathBuf, sync::Arc, time::Instant};

use agent_client::{Agent, AgentError, Connector, PodStart};
use model::Stages;
use vm_client::{
    DiskId, DiskPlan, LaunchPlan, Monitor, NicId, NicPlan, NicQueuePlan, Processors, Running,
    SegmentPlan,
};

use crate::{
    Deadlines,
    book::{Book, PodRecord},
    cgroup::{Cgroup, CgroupPlan},
    error::PodError,
    handle::Pod,
    owner::{self, Beginning},
    plan::{Identity, Lifetime, Nic, PodPlan},
    record::RunFolder,
    scratch::{Scratch, ScratchPlan},
    teardown::{Held, teardown},
    wall_clock,
};

/// The console's file in the run folder.
const CONSOLE_LOG: &str = "console.log";

/// Serial number of the scratch disk.
const SCRATCH_DISK: &str = "scratch";

/// A VM whose agent answers, and which is no pod yet.
///
/// Dropped, it leaves a run folder without an owner; [`crate::sweep`] or [`crate::recover`] ends what is in it.
#[must_use = "a VM that becomes no pod has to be abandoned"]
pub struct Booted {
    held: Held,
    agent: Agent,
    rest: Rest,
    stages: Stages,
    launch: Running,
}

/// What of the plan is for later.
struct Rest {
    lifetime: Lifetime,
    processors: u8,
    scratch: Option<ScratchPlan>,
    created_at_ns: i64,
    share_server: PathBuf,
    deadlines: Deadlines,
}

impl std::fmt::Debug for Booted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Booted")
            .field("pod", &self.held.pod)
            .finish_non_exhaustive()
    }
}

impl Booted {
    /// Launches the VM and waits for its agent.
    ///
    /// Dropping the future half-way leaves a run folder without an owner, as dropping the result does.
    ///
    /// # Errors
    /// When a step fails; nothing is left then.
    pub async fn launch(plan: PodPlan) -> Result<Self, PodError> {
        let mut stages = Stages::begin(Instant::now());
        let deadlines = plan.deadlines;
        let cgroup = plan.cgroup.as_ref();
        let cgroup = cgroup.map(|cgroup| Cgroup::planned(cgroup, &plan.id));
        let scratch = plan.scratch.as_ref();
        let scratch = scratch.map(|scratch| Scratch::planned(scratch, &plan.id));
        let folder = RunFolder::create(&plan, cgroup.as_ref(), scratch.as_ref());
        let folder = folder.map_err(PodError::Folder)?;
        let pod = plan.id.clone();
        let mut held = Held {
            pod,
            folder,
            cgroup,
            monitor: None,
            scratch,
        };
        match run_up(&mut held, plan, &mut stages).await {
            Ok((agent, launch, rest)) => Ok(Self {
                held,
                agent,
                rest,
                stages,
                launch,
            }),
            Err(error) => Err(failed(held, deadlines, error).await),
        }
    }

    /// Makes the VM into a pod: its name, its network, its record. From here on a task owns it.
    ///
    /// # Errors
    /// When the agent refuses or is lost, or the record can't be written; nothing is left then.
    pub async fn become_pod(self, identity: Identity) -> Result<Pod, PodError> {
        let Self {
            held,
            agent,
            rest,
            mut stages,
            launch,
        } = self;
        let deadlines = rest.deadlines;
        let mut record = PodRecord::new(
            held.pod.clone(),
            identity.note.clone(),
            rest.created_at_ns,
            identity.hostname.clone(),
        );
        let Some(monitor) = held.monitor.clone() else {
            return Err(failed(held, deadlines, PodError::TornDown).await);
        };
        let named = identify(&monitor, &agent, identity, &rest, &held);
        if let Err(error) = while_alive(&monitor, "it became a pod", deadlines, named).await {
            return Err(failed(held, deadlines, error).await);
        }
        stages.end("pod identity set", Instant::now());
        record.stages = stages.finish();
        let book = match &rest.lifetime {
            Lifetime::WithLauncher => None,
            Lifetime::UntilRemoved { records_dir } => {
                match Book::create(records_dir, record.clone()).await {
                    Ok(book) => Some(book),
                    Err(error) => {
                        return Err(failed(held, deadlines, PodError::Record(error)).await);
                    }
                }
            }
        };
        Ok(owner::spawn(Beginning {
            record,
            book,
            live: Some((held, agent)),
            containers: Vec::new(),
            launch: Some(launch),
            share_server: rest.share_server,
            deadlines,
        }))
    }

    /// Ends the VM, which will be no pod.
    pub async fn abandon(self) {
        if let Err(left) = teardown(self.held, self.rest.deadlines).await {
            tracing::warn!(%left, "an abandoned VM could not be cleaned up");
        }
    }
}

/// Puts the NICs on the bus, and tells the agent all that makes its guest this pod.
async fn identify(
    monitor: &Monitor,
    agent: &Agent,
    identity: Identity,
    rest: &Rest,
    held: &Held,
) -> Result<(), PodError> {
    for nic in identity.nics {
        let name = nic.name.clone();
        let plan = nic_plan(nic)?;
        let added = monitor.add_nic(plan).await;
        added.map_err(|source| PodError::Nic { name, source })?;
    }
    let scratch = match (&held.scratch, &rest.scratch) {
        (Some(scratch), Some(plan)) => add_scratch(monitor, scratch, plan).await?,
        _ => String::new(),
    };
    let start = PodStart {
        pod_id: held.pod.to_string(),
        hostname: identity.hostname,
        sysctls: identity.sysctls,
        processors: rest.processors.into(),
        wall_clock_ns: wall_clock::now_ns(),
        network: identity.network,
        resolv_conf: identity.resolv_conf,
        hosts: identity.hosts,
        share_pid_namespace: identity.share_pid_namespace,
        scratch_pci_address: scratch,
        user_namespace: identity.user_namespace,
        ..PodStart::default()
    };
    let attempt = "make the VM into a pod";
    agent_call(attempt, agent.start_pod(start, rest.deadlines.start)).await?;
    Ok(())
}

/// Makes the scratch disk and puts it on the bus. Gives its address.
async fn add_scratch(
    monitor: &Monitor,
    scratch: &Scratch,
    plan: &ScratchPlan,
) -> Result<String, PodError> {
    let (file, length) = scratch.make(plan).await.map_err(PodError::Scratch)?;
    let id = DiskId::try_from(SCRATCH_DISK.to_owned());
    let disk = DiskPlan {
        id: id.map_err(|_invalid| PodError::TornDown)?,
        segments: vec![SegmentPlan {
            file,
            offset: 0,
            length,
        }],
        read_only: false,
    };
    let added = monitor.add_disk(disk).await;
    let address = added.map_err(PodError::ScratchDisk)?;
    Ok(address.to_string())
}

fn nic_plan(nic: Nic) -> Result<NicPlan, PodError> {
    let wrong = |what: String| PodError::NicValue {
        name: nic.name.clone(),
        what,
    };
    let id = NicId::try_from(nic.name.clone()).map_err(|error| wrong(error.to_string()))?;
    let mac =
        vm_client::Mac::try_from(nic.mac.to_string()).map_err(|error| wrong(error.to_string()))?;
    let mtu = u16::try_from(nic.mtu)
        .map_err(|_too_large| wrong(format!("an MTU of {}: 65535 is the most", nic.mtu)))?;
    let queues = nic
        .queues
        .into_iter()
        .map(|queue| NicQueuePlan {
            tap: queue.tap,
            vhost: queue.vhost,
        })
        .collect();
    Ok(NicPlan {
        id,
        mac,
        mtu,
        queues,
    })
}

async fn failed(held: Held, deadlines: Deadlines, error: PodError) -> PodError {
    if let Err(left) = teardown(held, deadlines).await {
        tracing::warn!(%left, "a failed start could not be cleaned up");
    }
    error
}

async fn run_up(
    held: &mut Held,
    plan: PodPlan,
    stages: &mut Stages,
) -> Result<(Agent, Running, Rest), PodError> {
    let cgroup = make_cgroup(held.cgroup.as_ref(), plan.cgroup.clone()).await?;
    let (mut launch_plan, rest) = divide(plan, &held.folder)?;
    launch_plan.cgroup = cgroup;
    let launched = Monitor::launch(launch_plan).await;
    let (monitor, launch) = launched.map_err(|error| PodError::Launch(Box::new(error)))?;
    let monitor = Arc::clone(held.monitor.insert(Arc::new(monitor)));
    stages.end("monitor launched and jailed", Instant::now());

    let connector = Connector::Vsock {
        socket: monitor.vsock_path(),
    };
    let connect = Agent::connect(connector, rest.deadlines.boot);
    let connect = agent_call("wait for the guest to boot", connect);
    let agent = while_alive(&monitor, "booting", rest.deadlines, connect).await?;
    stages.end("guest booted, agent answered", Instant::now());
    Ok((agent, launch, rest))
}

/// The way into the pod's cgroup, which is made now.
async fn make_cgroup(
    cgroup: Option<&Cgroup>,
    plan: Option<CgroupPlan>,
) -> Result<Option<File>, PodError> {
    let (Some(cgroup), Some(plan)) = (cgroup, plan) else {
        return Ok(None);
    };
    cgroup.make(plan).await.map_err(PodError::Cgroup)?;
    cgroup.processes().map(Some).map_err(PodError::Cgroup)
}

/// Divides the plan between the monitor and what comes later.
fn divide(plan: PodPlan, folder: &RunFolder) -> Result<(LaunchPlan, Rest), PodError> {
    let (uid, gid) = plan.monitor_identity;
    let console = plan
        .console_log
        .then(|| File::create_new(folder.path().join(CONSOLE_LOG)))
        .transpose()
        .map_err(PodError::Console)?;
    let launch = LaunchPlan {
        program: plan.monitor,
        run_folder: folder.path().to_owned(),
        cgroup: None,
        name: plan.id.to_string(),
        identity: vm_client::Identity { uid, gid },
        lifetime: match plan.lifetime {
            Lifetime::WithLauncher => vm_client::Lifetime::WithLauncher,
            Lifetime::UntilRemoved { .. } => vm_client::Lifetime::UntilStopped,
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
        nics: Vec::new(),
        deadlines: plan.deadlines.monitor,
    };
    let rest = Rest {
        lifetime: plan.lifetime,
        processors: plan.size.processors,
        scratch: plan.scratch,
        created_at_ns: wall_clock::now_ns(),
        share_server: plan.share_server,
        deadlines: plan.deadlines,
    };
    Ok((launch, rest))
}

pub(crate) async fn agent_call<T>(
    attempt: &'static str,
    call: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, PodError> {
    call.await
        .map_err(|source| PodError::Agent { attempt, source })
}

/// Does `work` unless the guest ends first. Work that failed because the guest ended says how it ended instead.
pub(crate) async fn while_alive<T>(
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
