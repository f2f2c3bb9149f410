//! What a call to an agent can fail with, in the few kinds that callers branch on.

use std::io;

use ttrpc::{Code, Error as TtrpcError};

use crate::text::shown;

/// A call or stream that failed. Texts of the guest are escaped and cut.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No such container, process, command or device.
    #[error("{message}")]
    NotFound { message: String },
    /// The id is taken.
    #[error("{message}")]
    AlreadyExists { message: String },
    /// Right request, wrong moment, or a command that may not be executed.
    #[error("{message}")]
    Precondition { message: String },
    /// No state of the guest could serve it.
    #[error("{message}")]
    Invalid { message: String },
    /// The wait ran out, here or in the guest. The call may still have been carried out.
    #[error("{call}: no answer in time")]
    Deadline { call: &'static str },
    /// The connection has ended: the guest, its monitor or the agent is gone, or breaks the protocol.
    #[error("{call}: the agent is gone: {reason}")]
    Lost { call: &'static str, reason: String },
    /// An attempt in the guest failed.
    #[error("{message}")]
    Other { message: String },
}

impl AgentError {
    pub(crate) fn from_rpc(call: &'static str, error: TtrpcError) -> Self {
        match error {
            TtrpcError::RpcStatus(status) => {
                let message = shown(status.message());
                match status.code() {
                    Code::NOT_FOUND => Self::NotFound { message },
                    Code::ALREADY_EXISTS => Self::AlreadyExists { message },
                    Code::FAILED_PRECONDITION => Self::Precondition { message },
                    Code::INVALID_ARGUMENT => Self::Invalid { message },
                    Code::DEADLINE_EXCEEDED => Self::Deadline { call },
                    _ => Self::Other { message },
                }
            }
            other => Self::Lost {
                call,
                reason: shown(&other.to_string()),
            },
        }
    }

    pub(crate) fn lost(call: &'static str, error: &io::Error) -> Self {
        Self::Lost {
            call,
            reason: error.to_string(),
        }
    }

    pub(crate) fn broken(call: &'static str, reason: impl Into<String>) -> Self {
        Self::Lost {
            call,
            reason: reason.into(),
        }
    }
}
