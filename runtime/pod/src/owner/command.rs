//! What a handle may ask of the owner. Main type: [`Command`].

use agent_client::ProcessRef;
use model::{ContainerId, ExitStatus, LimitsChange};
use tokio::sync::oneshot;

use crate::{
    error::PodError,
    handle::Streams,
    output::Listener,
    plan::{ContainerPlan, Hold},
};

/// The end of a process, told once.
pub(crate) type ExitSender = oneshot::Sender<Result<ExitStatus, PodError>>;

pub(super) type Reply<T> = oneshot::Sender<Result<T, PodError>>;

/// What a handle may ask of the owner.
pub(crate) enum Command {
    /// Make a container; the reply comes when its root is where the agent can mount it.
    Create {
        plan: Box<ContainerPlan>,
        reply: Reply<()>,
    },
    /// Run it; the reply comes when its first process has been executed.
    Start {
        container: ContainerId,
        reply: Reply<Option<Streams>>,
    },
    /// Forget an ended container.
    Remove {
        container: ContainerId,
        reply: Reply<()>,
    },
    /// Tell the end of a process that is about to be executed.
    Watch {
        process: ProcessRef,
        exit: ExitSender,
    },
    /// Hold this while the container may use its image: after a restart.
    Lend { container: ContainerId, hold: Hold },
    /// Go on in a new log file.
    ReopenLog {
        container: ContainerId,
        reply: Reply<()>,
    },
    /// Let somebody listen to its output; the reply comes when the next byte is theirs, too.
    Attach {
        container: ContainerId,
        listener: Listener,
        reply: Reply<()>,
    },
    /// Change its limits while it runs; the reply comes when that is recorded.
    Update {
        container: ContainerId,
        change: LimitsChange,
        reply: Reply<()>,
    },
    /// End the pod; the reply comes when nothing but its record is left.
    Stop { reply: Reply<()> },
    /// End it and remove its record.
    Forget { reply: Reply<()> },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Create { .. } => "Create",
            Self::Start { .. } => "Start",
            Self::Remove { .. } => "Remove",
            Self::Watch { .. } => "Watch",
            Self::Lend { .. } => "Lend",
            Self::ReopenLog { .. } => "ReopenLog",
            Self::Attach { .. } => "Attach",
            Self::Update { .. } => "Update",
            Self::Stop { .. } => "Stop",
            Self::Forget { .. } => "Forget",
        })
    }
}

pub(crate) fn first_process(container: &ContainerId) -> ProcessRef {
    executed(container, "")
}

/// A process that an exec made.
pub(crate) fn executed(container: &ContainerId, exec_id: &str) -> ProcessRef {
    ProcessRef {
        container_id: container.to_string(),
        exec_id: exec_id.to_owned(),
    }
}
