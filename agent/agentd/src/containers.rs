//! The one owner of all containers: a task that holds their state, the journal and the pod, and takes commands. Others hold an
//! [`Owner`], the handle. Slow work (mounts, launches, kills) runs in tasks of its own and comes back as a command.
//!
//! ```text
//! StartContainer ─► Starting ──ok──► Live ──RemoveContainer─► Removing ──ok──► (gone)
//!                       └──failed──► (gone)                       └──failed──► Live, to be tried again
//! ```

mod live;
mod oom;
mod owner;

use std::{collections::HashMap, sync::Arc};

use agent::{
    agent::{StartPodRequest, StartPodResponse},
    stdio::Open,
};
use container::{PodNamespaces, Process as OciProcess, join_none, join_pid_namespace_of};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

pub(crate) use self::owner::{FirstProcess, Owner, PodState};
use self::{
    live::Live,
    owner::{Command, Reply},
};
use crate::{
    arguments::Setting,
    deadlines::MAX_CONTAINERS,
    events::Journal,
    fault::{Fault, FaultKind},
    holdings::Holdings,
    ids::{ContainerId, ExecId},
    process::{Exit, Process},
    reap::reap,
    scratch::Scratch,
    start::{self, ContainerPlan, PidPlan, Running, StdioPlan},
    stdio::StreamHandle,
    volumes::Volumes,
};

/// Starts the owner's task, which ends with the process. Within the runtime.
pub(crate) fn start_owner(
    setting: Arc<Setting>,
    volumes: Volumes,
    scratch: Scratch,
) -> std::io::Result<Owner> {
    let children = signal(SignalKind::child())?;
    let journal = Journal::new();
    let (owner, commands) = Owner::new(journal.newest());
    let containers = Containers {
        setting,
        volumes,
        scratch,
        slots: HashMap::new(),
        pids: HashMap::new(),
        launching: 0,
        early_exits: HashMap::new(),
        journal,
        pod: Pod::None,
        namespaces: None,
        // A way to itself, for the results of slow work.
        owner: owner.clone(),
    };
    tokio::spawn(containers.run(commands, children));
    Ok(owner)
}

#[derive(Debug)]
enum Slot {
    Starting,
    Live(Box<Live>),
    Removing(Box<Live>),
}

#[derive(Debug)]
enum Pod {
    None,
    Making(StartPodRequest),
    Made(StartPodRequest, StartPodResponse),
}

/// The state.
struct Containers {
    setting: Arc<Setting>,
    volumes: Volumes,
    scratch: Scratch,
    slots: HashMap<ContainerId, Slot>,
    /// Processes that run, to find whose exit it is.
    pids: HashMap<i32, (ContainerId, ExecId)>,
    /// Launches whose outcome is still to come.
    launching: usize,
    /// Exits of unknown children while something is being launched: its process may end before its start is known.
    early_exits: HashMap<i32, Exit>,
    journal: Journal,
    pod: Pod,
    /// Ends with this process, or with the pod that could not be made.
    namespaces: Option<PodNamespaces>,
    owner: Owner,
}

impl Containers {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut children: Signal) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.carry_out(command),
                    None => return,
                },
                _ = children.recv() => self.collect(),
            }
        }
    }

    /// Answers whom it can at once. A caller that has gone away does not change what was done.
    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Start { plan, reply } => self.start(*plan, reply),
            Command::Started { id, result, reply } => self.started(id, result, reply),
            Command::Exec {
                id,
                exec,
                process,
                stdio,
                reply,
            } => {
                if let Err((fault, reply)) = self.exec(&id, &exec, (process, stdio), reply) {
                    drop(reply.send(Err(fault)));
                }
            }
            Command::Execed {
                id,
                exec,
                result,
                reply,
            } => {
                drop(reply.send(self.execed(&id, exec, result)));
            }
            Command::Signal {
                id,
                exec,
                signal,
                reply,
            } => {
                drop(reply.send(self.live(&id).and_then(|live| live.signal(&exec, signal))));
            }
            Command::SignalAll {
                id,
                exec,
                signal,
                reply,
            } => {
                drop(
                    reply.send(
                        self.live(&id)
                            .and_then(|live| live.signal_all(&exec, signal)),
                    ),
                );
            }
            Command::Resize {
                id,
                exec,
                size,
                reply,
            } => {
                drop(reply.send(self.live(&id).and_then(|live| live.resize(&exec, size))));
            }
            Command::EndExecs { id, reply } => {
                drop(reply.send(self.live(&id).and_then(Live::end_execs)));
            }
            Command::Remove { id, reply } => self.remove(id, reply),
            Command::Removed { id, result, reply } => self.removed(id, result, reply),
            Command::Holdings { id, reply } => drop(reply.send(self.holdings(id))),
            Command::Stream { open, reply } => drop(reply.send(self.stream(&open))),
            Command::Events { after, reply } => drop(reply.send(Ok(self.journal.after(after)))),
            Command::OutOfMemory { id, kills } => self.journal.out_of_memory(id.as_str(), kills),
            Command::BeginPod { request, reply } => drop(reply.send(self.begin_pod(*request))),
            Command::KeepNamespaces { namespaces } => self.namespaces = namespaces,
            Command::EndPod { made } => self.end_pod(made),
            Command::KillAll { reply } => self.kill_all(reply),
        }
    }

    fn start(&mut self, mut plan: ContainerPlan, reply: Reply<FirstProcess>) {
        let id = plan.id.clone();
        if self.slots.contains_key(&id) {
            let fault = Fault::new(FaultKind::AlreadyExists, format!("container {id} exists"));
            return drop(reply.send(Err(fault)));
        }
        if self.slots.len() >= MAX_CONTAINERS {
            let message = format!("a pod can't have more than {MAX_CONTAINERS} containers");
            return drop(reply.send(Err(Fault::precondition(message))));
        }
        if let Err(fault) = self.join_namespaces(&mut plan) {
            return drop(reply.send(Err(fault)));
        }
        self.slots.insert(id.clone(), Slot::Starting);
        self.launching += 1;
        let (owner, setting) = (self.owner.clone(), Arc::clone(&self.setting));
        let disks = (self.volumes.clone(), self.scratch.clone());
        tokio::spawn(async move {
            let result = start::container(setting, disks, plan).await.map(Box::new);
            owner.tell(Command::Started { id, result, reply }).await;
        });
    }

    /// Those of the pod that the plan asks for, and those that it has to be in.
    fn join_namespaces(&mut self, plan: &mut ContainerPlan) -> Result<(), Fault> {
        let pid = plan.pid == PidPlan::Pod;
        match &self.namespaces {
            Some(namespaces) => {
                namespaces.join(&mut plan.spec, pid)?;
                plan.user = namespaces.user().cloned();
            }
            None => join_none(&mut plan.spec, pid)?,
        }
        if let PidPlan::Container(target) = &plan.pid {
            let process = self.live(target)?.first_process()?;
            join_pid_namespace_of(&mut plan.spec, process)?;
        }
        Ok(())
    }

    fn started(
        &mut self,
        id: ContainerId,
        result: Result<Box<Running>, Fault>,
        reply: Reply<FirstProcess>,
    ) {
        self.slots.remove(&id);
        let answer = result.map(|running| {
            let pid = running.process.pid;
            let user = running.process.user.clone();
            let watch = oom::watch(&running.holdings.cgroup, &id, &self.owner);
            let live = Live::new(*running, watch);
            self.slots.insert(id.clone(), Slot::Live(Box::new(live)));
            self.running(pid, id, ExecId::default());
            FirstProcess { pid, user }
        });
        self.launched();
        drop(reply.send(answer));
    }

    /// The reply comes back with a fault, so that there is one place that sends it.
    fn exec(
        &mut self,
        id: &ContainerId,
        exec: &ExecId,
        (process, stdio): (Box<OciProcess>, StdioPlan),
        reply: Reply<i32>,
    ) -> Result<(), (Fault, Reply<i32>)> {
        let launch = match self.live(id).and_then(|live| live.reserve(exec)) {
            Ok(launch) => launch,
            Err(fault) => return Err((fault, reply)),
        };
        self.launching += 1;
        let owner = self.owner.clone();
        let (id, exec) = (id.clone(), exec.clone());
        tokio::spawn(async move {
            let result = start::exec(launch, exec.clone(), *process, stdio).await;
            owner
                .tell(Command::Execed {
                    id,
                    exec,
                    result,
                    reply,
                })
                .await;
        });
        Ok(())
    }

    fn execed(
        &mut self,
        id: &ContainerId,
        exec: ExecId,
        result: Result<Process, Fault>,
    ) -> Result<i32, Fault> {
        let outcome = match self.slots.get_mut(id) {
            Some(Slot::Live(live) | Slot::Removing(live)) => live.execed(&exec, result),
            // Removed meanwhile, and with it the process.
            _ => Err(not_found(id)),
        };
        if let Ok(pid) = outcome {
            self.running(pid, id.clone(), exec);
        }
        self.launched();
        outcome
    }

    /// From now on the process's exit is expected, or it has come already.
    fn running(&mut self, pid: i32, id: ContainerId, exec: ExecId) {
        self.pids.insert(pid, (id, exec));
        if let Some(exit) = self.early_exits.remove(&pid) {
            self.ended(pid, exit);
        }
    }

    fn launched(&mut self) {
        self.launching -= 1;
        if self.launching == 0 {
            self.early_exits.clear();
        }
    }

    fn collect(&mut self) {
        for (pid, exit) in reap() {
            if self.pids.contains_key(&pid) {
                self.ended(pid, exit);
            } else if self.launching > 0 {
                self.early_exits.insert(pid, exit);
            }
        }
    }

    fn ended(&mut self, pid: i32, exit: Exit) {
        let Some((id, exec)) = self.pids.remove(&pid) else {
            return;
        };
        if let Some(Slot::Live(live) | Slot::Removing(live)) = self.slots.get_mut(&id) {
            let out_of_memory = live.ended(&exec, exit);
            self.journal
                .process_exited(exit.event(&id, &exec, out_of_memory));
        }
    }

    fn remove(&mut self, id: ContainerId, reply: Reply<()>) {
        let live = match self.slots.remove(&id) {
            Some(Slot::Live(live)) => live,
            Some(busy) => {
                let message = match &busy {
                    Slot::Starting => format!("container {id} is being started"),
                    _ => format!("container {id} is being removed"),
                };
                self.slots.insert(id, busy);
                return drop(reply.send(Err(Fault::precondition(message))));
            }
            None => return drop(reply.send(Ok(()))),
        };
        let holdings = live.holdings().clone();
        self.slots.insert(id.clone(), Slot::Removing(live));
        let owner = self.owner.clone();
        tokio::spawn(async move {
            let release = move || holdings.release().map_err(|error| Fault::internal(&error));
            let result = start::blocking(release).await;
            owner.tell(Command::Removed { id, result, reply }).await;
        });
    }

    fn removed(&mut self, id: ContainerId, result: Result<(), Fault>, reply: Reply<()>) {
        match (&result, self.slots.remove(&id)) {
            (Err(_), Some(Slot::Removing(live))) => {
                self.slots.insert(id, Slot::Live(live));
            }
            _ => {
                // Killed processes that are still to be reaped are nobody's then.
                self.pids.retain(|_, (container, _)| *container != id);
                self.journal.forget(id.as_str());
            }
        }
        drop(reply.send(result));
    }

    fn holdings(&mut self, id: Option<ContainerId>) -> Result<Vec<(ContainerId, Holdings)>, Fault> {
        if let Some(id) = id {
            let holdings = self.live(&id)?.holdings().clone();
            return Ok(vec![(id, holdings)]);
        }
        let live = |(id, slot): (&ContainerId, &Slot)| match slot {
            Slot::Live(live) => Some((id.clone(), live.holdings().clone())),
            Slot::Starting | Slot::Removing(_) => None,
        };
        Ok(self.slots.iter().filter_map(live).collect())
    }

    fn stream(&mut self, open: &Open) -> Result<StreamHandle, Fault> {
        let id = ContainerId::parse(&open.container_id)?;
        let exec = ExecId::parse(&open.exec_id)?;
        self.live(&id)?.stream(&exec, open.stream)
    }

    fn live(&mut self, id: &ContainerId) -> Result<&mut Live, Fault> {
        match self.slots.get_mut(id) {
            Some(Slot::Live(live)) => Ok(live),
            Some(Slot::Starting) => Err(Fault::precondition(format!(
                "container {id} is being started"
            ))),
            Some(Slot::Removing(_)) | None => Err(not_found(id)),
        }
    }

    fn begin_pod(&mut self, request: StartPodRequest) -> Result<PodState, Fault> {
        match &self.pod {
            Pod::None => {
                self.pod = Pod::Making(request);
                Ok(PodState::Yours)
            }
            Pod::Made(first, response) if *first == request => Ok(PodState::Made(response.clone())),
            Pod::Made(first, _) => {
                let message = format!("this guest is pod {} already", first.pod_id);
                Err(Fault::new(FaultKind::AlreadyExists, message))
            }
            Pod::Making(_) => Err(Fault::precondition("the pod is being made")),
        }
    }

    fn end_pod(&mut self, made: Option<StartPodResponse>) {
        self.pod = match (std::mem::replace(&mut self.pod, Pod::None), made) {
            (Pod::Making(request), Some(response)) => Pod::Made(request, response),
            (Pod::Making(_), None) => {
                self.namespaces = None;
                Pod::None
            }
            (other, _) => other,
        };
    }

    /// A guest is about to be switched off, so its processes are enough; a host keeps what is not released.
    fn kill_all(&mut self, reply: Reply<()>) {
        let live = |slot: &Slot| match slot {
            Slot::Starting => None,
            Slot::Live(live) | Slot::Removing(live) => Some(live.holdings().clone()),
        };
        let holdings: Vec<_> = self.slots.values().filter_map(live).collect();
        let guest = self.setting.guest;
        let end = move |holdings: &Holdings| {
            if guest {
                holdings.kill()
            } else {
                holdings.release()
            }
        };
        tokio::spawn(async move {
            let work = move || {
                // All of them, whatever the first answers.
                let ended: Vec<_> = holdings.iter().map(end).collect();
                let first = ended.into_iter().collect::<Result<(), _>>();
                first.map_err(|error| Fault::internal(&error))
            };
            drop(reply.send(start::blocking(work).await));
        });
    }
}

fn not_found(id: &ContainerId) -> Fault {
    Fault::not_found(format!("no container {id}"))
}
