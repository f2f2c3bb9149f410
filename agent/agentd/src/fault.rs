//! What the agent answers when it does not do what was asked: the statuses of agent.proto.

use container::{Failure, FailureKind, LaunchError, cgroup::CgroupError};
use ttrpc::{Code, Error as TtrpcError};

use crate::chain;

/// A refusal or a failed attempt, with its sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
}

/// The statuses that agent.proto names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    DeadlineExceeded,
    Internal,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::InvalidArgument, message)
    }

    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Self::new(FaultKind::FailedPrecondition, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(FaultKind::NotFound, message)
    }

    /// An attempt of ours failed by the kernel's answer.
    pub(crate) fn internal_io(attempt: &str, error: &std::io::Error) -> Self {
        Self::new(FaultKind::Internal, format!("{attempt}: {error}"))
    }

    /// An attempt of ours failed; the error says which, and its causes why.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(FaultKind::Internal, chain(error))
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::NotFound => FaultKind::NotFound,
            FailureKind::Precondition => FaultKind::FailedPrecondition,
            FailureKind::Invalid => FaultKind::InvalidArgument,
            FailureKind::Internal => FaultKind::Internal,
        };
        Self {
            kind,
            message: failure.message,
        }
    }
}

impl From<CgroupError> for Fault {
    fn from(error: CgroupError) -> Self {
        let kind = match &error {
            CgroupError::Plan(_) => FaultKind::InvalidArgument,
            CgroupError::InUse { .. } | CgroupError::NoSuchFile { .. } => {
                FaultKind::FailedPrecondition
            }
            _ => FaultKind::Internal,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<LaunchError> for Fault {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::Failed(failure) => failure.into(),
            LaunchError::Launcher(_) => Self::internal(&error),
        }
    }
}

impl From<Fault> for TtrpcError {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::InvalidArgument => Code::INVALID_ARGUMENT,
            FaultKind::NotFound => Code::NOT_FOUND,
            FaultKind::AlreadyExists => Code::ALREADY_EXISTS,
            FaultKind::FailedPrecondition => Code::FAILED_PRECONDITION,
            FaultKind::DeadlineExceeded => Code::DEADLINE_EXCEEDED,
            FaultKind::Internal => Code::INTERNAL,
        };
        Self::RpcStatus(ttrpc::get_status(code, fault.message))
    }
}
