//! The handle of the owner of all containers, and the commands that it sends.

use agent::{
    agent::{Event, StartPodRequest, StartPodResponse},
    stdio::Open,
};
use container::{Identity, PodNamespaces, Process as OciProcess, WindowSize};
use tokio::sync::{mpsc, oneshot, watch};

use super::not_found;
use crate::{
    deadlines::OWNER_QUEUE,
    fault::{Fault, FaultKind},
    holdings::Holdings,
    ids::{ContainerId, ExecId},
    process::Process,
    start::{ContainerPlan, Running, StdioPlan},
    stdio::StreamHandle,
};

pub(super) type Reply<Value> = oneshot::Sender<Result<Value, Fault>>;

/// The handle of the owner.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    commands: mpsc::Sender<Command>,
    newest_event: watch::Receiver<u64>,
}

/// What a call for StartPod finds.
#[derive(Debug)]
pub(crate) enum PodState {
    /// This call is to make the pod, and to say how that ended.
    Yours,
    /// It has been made by an equal call.
    Made(StartPodResponse),
}

/// A container's first process, once it has been executed.
#[derive(Debug)]
pub(crate) struct FirstProcess {
    pub(crate) pid: i32,
    pub(crate) user: Option<Identity>,
}

#[derive(Debug)]
pub(super) enum Command {
    Start {
        plan: Box<ContainerPlan>,
        reply: Reply<FirstProcess>,
    },
    Started {
        id: ContainerId,
        result: Result<Box<Running>, Fault>,
        reply: Reply<FirstProcess>,
    },
    Exec {
        id: ContainerId,
        exec: ExecId,
        process: Box<OciProcess>,
        stdio: StdioPlan,
        reply: Reply<i32>,
    },
    Execed {
        id: ContainerId,
        exec: ExecId,
        result: Result<Process, Fault>,
        reply: Reply<i32>,
    },
    Signal {
        id: ContainerId,
        exec: ExecId,
        signal: i32,
        reply: Reply<()>,
    },
    /// Of one exec's, or of the container's with the first process's id.
    SignalAll {
        id: ContainerId,
        exec: ExecId,
        signal: i32,
        reply: Reply<()>,
    },
    /// Kill those of a container that run.
    EndExecs {
        id: ContainerId,
        reply: Reply<()>,
    },
    Resize {
        id: ContainerId,
        exec: ExecId,
        size: WindowSize,
        reply: Reply<()>,
    },
    Remove {
        id: ContainerId,
        reply: Reply<()>,
    },
    Removed {
        id: ContainerId,
        result: Result<(), Fault>,
        reply: Reply<()>,
    },
    /// Of one container, or of all.
    Holdings {
        id: Option<ContainerId>,
        reply: Reply<Vec<(ContainerId, Holdings)>>,
    },
    Stream {
        open: Open,
        reply: Reply<StreamHandle>,
    },
    Events {
        after: u64,
        reply: Reply<Vec<Event>>,
    },
    OutOfMemory {
        id: ContainerId,
        kills: u64,
    },
    BeginPod {
        request: Box<StartPodRequest>,
        reply: Reply<PodState>,
    },
    KeepNamespaces {
        namespaces: Option<PodNamespaces>,
    },
    EndPod {
        made: Option<StartPodResponse>,
    },
    KillAll {
        reply: Reply<()>,
    },
}

impl Owner {
    /// The handle and what the owner's task needs beside it.
    pub(super) fn new(newest_event: watch::Receiver<u64>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(OWNER_QUEUE);
        (
            Self {
                commands,
                newest_event,
            },
            receiver,
        )
    }

    pub(crate) async fn start_container(&self, plan: ContainerPlan) -> Result<FirstProcess, Fault> {
        self.ask(|reply| Command::Start {
            plan: Box::new(plan),
            reply,
        })
        .await
    }

    pub(crate) async fn exec(
        &self,
        id: ContainerId,
        exec: ExecId,
        process: OciProcess,
        stdio: StdioPlan,
    ) -> Result<i32, Fault> {
        let process = Box::new(process);
        self.ask(|reply| Command::Exec {
            id,
            exec,
            process,
            stdio,
            reply,
        })
        .await
    }

    pub(crate) async fn signal(
        &self,
        id: ContainerId,
        exec: ExecId,
        signal: i32,
    ) -> Result<(), Fault> {
        self.ask(|reply| Command::Signal {
            id,
            exec,
            signal,
            reply,
        })
        .await
    }

    pub(crate) async fn signal_all(
        &self,
        id: ContainerId,
        exec: ExecId,
        signal: i32,
    ) -> Result<(), Fault> {
        self.ask(|reply| Command::SignalAll {
            id,
            exec,
            signal,
            reply,
        })
        .await
    }

    pub(crate) async fn end_execs(&self, id: ContainerId) -> Result<(), Fault> {
        self.ask(|reply| Command::EndExecs { id, reply }).await
    }

    pub(crate) async fn resize(
        &self,
        id: ContainerId,
        exec: ExecId,
        size: WindowSize,
    ) -> Result<(), Fault> {
        self.ask(|reply| Command::Resize {
            id,
            exec,
            size,
            reply,
        })
        .await
    }

    pub(crate) async fn remove(&self, id: ContainerId) -> Result<(), Fault> {
        self.ask(|reply| Command::Remove { id, reply }).await
    }

    /// What a container that has been started and not been removed holds.
    pub(crate) async fn holdings(&self, id: ContainerId) -> Result<Holdings, Fault> {
        let missing = not_found(&id);
        let id = Some(id);
        let found = self.ask(|reply| Command::Holdings { id, reply }).await?;
        let mut found = found.into_iter();
        found.next().map(|(_, holdings)| holdings).ok_or(missing)
    }

    /// Of all of them.
    pub(crate) async fn all_holdings(&self) -> Result<Vec<(ContainerId, Holdings)>, Fault> {
        let id = None;
        self.ask(|reply| Command::Holdings { id, reply }).await
    }

    pub(crate) async fn stream(&self, open: Open) -> Result<StreamHandle, Fault> {
        self.ask(|reply| Command::Stream { open, reply }).await
    }

    pub(crate) async fn events(&self, after: u64) -> Result<Vec<Event>, Fault> {
        self.ask(|reply| Command::Events { after, reply }).await
    }

    /// Changes with every event.
    pub(crate) fn newest_event(&self) -> watch::Receiver<u64> {
        self.newest_event.clone()
    }

    pub(crate) async fn begin_pod(&self, request: StartPodRequest) -> Result<PodState, Fault> {
        self.ask(|reply| Command::BeginPod {
            request: Box::new(request),
            reply,
        })
        .await
    }

    /// For the containers that come. Those that were kept before end.
    pub(crate) async fn keep_namespaces(&self, namespaces: Option<PodNamespaces>) {
        self.tell(Command::KeepNamespaces { namespaces }).await;
    }

    /// None when it could not be made.
    pub(crate) async fn end_pod(&self, made: Option<StartPodResponse>) {
        self.tell(Command::EndPod { made }).await;
    }

    pub(crate) async fn kill_all(&self) -> Result<(), Fault> {
        self.ask(|reply| Command::KillAll { reply }).await
    }

    async fn ask<Value>(
        &self,
        command: impl FnOnce(Reply<Value>) -> Command,
    ) -> Result<Value, Fault> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await;
        answer.await.unwrap_or_else(|_gone| {
            Err(Fault::new(
                FaultKind::Internal,
                "the agent's owner of containers has ended",
            ))
        })
    }

    pub(super) async fn tell(&self, command: Command) {
        // The owner ends with the process; whoever still asks learns it from the reply.
        drop(self.commands.send(command).await);
    }
}
