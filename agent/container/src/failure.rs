//! Why a container or process could not be started, in a form that crosses from the launcher to the agent and on to the host.

use std::{error::Error, fmt, io};

use serde::{Deserialize, Serialize};

/// What a caller may do about a [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The command, or what it needs to run, does not exist.
    NotFound,
    /// The command exists and may not or cannot be executed.
    Precondition,
    /// The specification asks for what no guest could do, or what this agent does not do yet.
    Invalid,
    /// An attempt of ours failed.
    Internal,
}

/// Why a container or process could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What the caller may do about it.
    pub kind: FailureKind,
    /// A sentence for people.
    pub message: String,
}

impl Failure {
    pub(crate) fn internal(attempt: &str, cause: &(dyn Error + 'static)) -> Self {
        Self {
            kind: FailureKind::Internal,
            message: format!("{attempt}: {}", chain(cause)),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Invalid,
            message: message.into(),
        }
    }

    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Precondition,
            message: message.into(),
        }
    }

    /// What `execve` answered for `command`, in the words of execve(2).
    pub(crate) fn from_execve(command: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FailureKind::NotFound,
            _ => FailureKind::Precondition,
        };
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            io::ErrorKind::NotADirectory => "not a directory".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ if error.raw_os_error() == Some(libc::ENOEXEC) => "exec format error".to_owned(),
            _ => error.to_string(),
        };
        Self {
            kind,
            message: format!("{reason}: {command}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Failure {}

/// The error and its causes in one line. A cause that its parent already printed is left out (libcontainer does both).
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}
