//! The start of a pod: first a VM, or an agent on the node, that answers, then, by its identity, a pod. Main type: [`Booted`], what is between the two.
//! ARCHITECTURE.md numbers these steps 3 to 8. Each step that fails ends in the teardown.

use std::{fs::File, path::PathBuf, sync::Arc, time::Instant};

use agent_client::{Agent, AgentError, PodStart};
use model::Stages;
use vm_client::Running;

use crate::{
    Deadlines,
    book::{Book, PodRecord},
    cgroup::{Cgroup, CgroupPlan},
    error::PodError,
    handle::Pod,
    home::{self, Home, HostAgent, HostRecord},
    owner::{self, Beginning},
    plan::{HomePlan, Identity, Lifetime, PodPlan},
    record::RunFolder,
    scratch::{Scratch, ScratchPlan},
    teardown::{Held, teardown},
    wall_clock,
};

/// A VM, or a process on the node, whose agent answers, and which is no pod yet.
///
/// Dropped, it leaves a run folder without an owner; [`crate::sweep`] or [`crate::recover`] ends what is in it.
#[must_use = "what becomes no pod has to be abandoned"]
pub struct Booted {
    held: Held,
    agent: Agent,
    rest: Rest,
    stages: Stages,
    launch: Option<Running>,
}

/// What of the plan is for later.
struct Rest {
    lifetime: Lifetime,
    /// Of a VM.
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
    /// Launches what the pod is to live in and waits for its agent.
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
        let (scratch, host) = match &plan.home {
            HomePlan::Guest(guest) => {
                let scratch = guest.scratch.as_ref();
                (
                    scratch.map(|plan_of| Scratch::planned(plan_of, &plan.id)),
                    None,
                )
            }
            HomePlan::Host(host) => (None, Some(HostRecord::planned(host, &plan.id))),
        };
        let folder = RunFolder::create(&plan, cgroup.as_ref(), scratch.as_ref(), host.clone());
        let folder = folder.map_err(PodError::Folder)?;
        let pod = plan.id.clone();
        let mut held = Held {
            pod,
            folder,
            cgroup,
            scratch,
            host,
            home: None,
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

    /// Makes a pod of it: its name, its network, its record. From here on a task owns it.
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
        let Some(home) = held.home.clone() else {
            return Err(failed(held, deadlines, PodError::TornDown).await);
        };
        let named = identify(&home, &agent, identity, &rest, &held);
        if let Err(error) = while_alive(&home, "it became a pod", deadlines, named).await {
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
            launch,
            share_server: rest.share_server,
            deadlines,
        }))
    }

    /// Ends it: it will be no pod.
    pub async fn abandon(self) {
        if let Err(left) = teardown(self.held, self.rest.deadlines).await {
            tracing::warn!(%left, "what was abandoned could not be cleaned up");
        }
    }
}

/// Puts the NICs on a VM's bus, and tells the agent all that makes it this pod's. The node keeps its clock.
async fn identify(
    home: &Home,
    agent: &Agent,
    identity: Identity,
    rest: &Rest,
    held: &Held,
) -> Result<(), PodError> {
    let (wall_clock_ns, scratch) = match home {
        Home::Guest(monitor) => {
            home::add_nics(monitor, identity.nics).await?;
            let scratch = match (&held.scratch, &rest.scratch) {
                (Some(scratch), Some(plan)) => home::add_scratch(monitor, scratch, plan).await?,
                _ => String::new(),
            };
            (wall_clock::now_ns(), scratch)
        }
        Home::Host(_) => (0, String::new()),
    };
    let start = PodStart {
        pod_id: held.pod.to_string(),
        hostname: identity.hostname,
        sysctls: identity.sysctls,
        processors: rest.processors.into(),
        wall_clock_ns,
        network: identity.network,
        resolv_conf: identity.resolv_conf,
        hosts: identity.hosts,
        share_pid_namespace: identity.share_pid_namespace,
        scratch_pci_address: scratch,
        user_namespace: identity.user_namespace,
        ..PodStart::default()
    };
    let attempt = "make it the pod";
    agent_call(attempt, agent.start_pod(start, rest.deadlines.start)).await?;
    Ok(())
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
) -> Result<(Agent, Option<Running>, Rest), PodError> {
    let cgroup = make_cgroup(held.cgroup.as_ref(), plan.cgroup).await?;
    let mut rest = Rest {
        lifetime: plan.lifetime,
        processors: 0,
        scratch: None,
        created_at_ns: wall_clock::now_ns(),
        share_server: PathBuf::new(),
        deadlines: plan.deadlines,
    };
    let folder = held.folder.path();
    let (home, launch) = match plan.home {
        HomePlan::Guest(guest) => {
            rest.processors = guest.size.processors;
            rest.share_server.clone_from(&guest.share_server);
            rest.scratch.clone_from(&guest.scratch);
            let of = (&held.pod, &rest.lifetime);
            let launched = home::launch_guest(*guest, of, (folder, cgroup), rest.deadlines);
            let (monitor, running) = launched.await?;
            stages.end("monitor launched and jailed", Instant::now());
            (Home::Guest(Arc::new(monitor)), Some(running))
        }
        HomePlan::Host(host) => {
            let record = held.host.clone().ok_or(PodError::TornDown)?;
            let launched = HostAgent::launch(host, record, folder, held.cgroup.as_ref()).await;
            stages.end("agent started", Instant::now());
            let agent = launched.map_err(PodError::HostAgent)?;
            (Home::Host(Arc::new(agent)), None)
        }
    };
    let home = held.home.insert(home);
    let connect = Agent::connect(home.connector(), rest.deadlines.boot);
    let connect = agent_call("wait for the pod's agent", connect);
    let agent = while_alive(home, "booting", rest.deadlines, connect).await?;
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

pub(crate) async fn agent_call<T>(
    attempt: &'static str,
    call: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, PodError> {
    call.await
        .map_err(|source| PodError::Agent { attempt, source })
}

/// Does `work` unless the home ends first. Work that failed because it ended says how it ended instead.
pub(crate) async fn while_alive<T>(
    home: &Home,
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
        ended = home.ended() => return Err(ended.into_error(during)),
    };
    if error.fault() != model::Fault::GuestLost {
        return Err(error);
    }
    match tokio::time::timeout(deadlines.stop, home.ended()).await {
        Ok(ended) => Err(ended.into_error(during)),
        Err(_still_there) => Err(error),
    }
}
