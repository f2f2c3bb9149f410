//! One process that the agent started for the host, as the owner of the containers keeps it.

use agent::agent::ProcessExited;
use container::Identity;

use crate::{
    ids::{ContainerId, ExecId},
    stdio::{ProcessEnd, StreamHandle},
};

/// How a process ended (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(u32),
    Signal(u32),
}

/// A process and the handles of its streams. Dropping it ends the streams.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Who it is, if it is a container's first.
    pub(crate) user: Option<Identity>,
    pub(crate) stdin: Option<StreamHandle>,
    pub(crate) stdout: StreamHandle,
    pub(crate) stderr: Option<StreamHandle>,
    /// The controlling side of its terminal.
    pub(crate) terminal: Option<ProcessEnd>,
    pub(crate) exit: Option<Exit>,
}

impl Exit {
    /// What the host is told.
    pub(crate) fn event(
        self,
        container_id: &ContainerId,
        exec_id: &ExecId,
        out_of_memory: bool,
    ) -> ProcessExited {
        let (exit_code, signal) = match self {
            Self::Code(code) => (code, 0),
            Self::Signal(signal) => (0, signal),
        };
        ProcessExited {
            container_id: container_id.to_string(),
            exec_id: exec_id.to_string(),
            exit_code,
            signal,
            out_of_memory,
            ..Default::default()
        }
    }
}
