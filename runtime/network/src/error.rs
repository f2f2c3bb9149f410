//! What can go wrong with a pod's network. Main type: [`NetworkError`]. Callers branch on [`NetworkError::fault`]; the text is for people.

use std::time::Duration;

use model::{Fault, PodId};
use thiserror::Error;

use crate::{
    attachment::AttachError,
    cni::{CniError, ConfDirError, PluginError, ResultError},
    namespace::NamespaceError,
    record::RecordError,
    request::BadRequest,
};

/// Why a pod has no network, or still has one.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// What was asked for.
    #[error("tell the CNI plugins about the pod")]
    Request(#[from] BadRequest),
    /// The configured networks.
    #[error("choose the pod's networks")]
    Configuration(#[from] ConfDirError),
    /// The plugins.
    #[error("{attempt}")]
    Cni {
        /// What they were to do.
        attempt: &'static str,
        /// What they came to.
        #[source]
        source: CniError,
    },
    /// The answer to an ADD has no address for the pod.
    #[error("CNI network {network} gave the pod no IP address")]
    NoAddress {
        /// The network's name.
        network: String,
    },
    /// A result on record.
    #[error("read the pod's addresses from the result of its CNI plugins")]
    Result(#[from] ResultError),
    /// The namespace.
    #[error("use the pod's network namespace")]
    Namespace(#[from] NamespaceError),
    /// Taps and all that.
    #[error("attach the guest to the pod's network namespace")]
    Attach(#[source] Box<AttachError>),
    /// The record.
    #[error("keep the record of the pod's network")]
    Record(#[from] RecordError),
    /// It has a network already.
    #[error("pod {pod} has a network already: tear it down first")]
    Exists {
        /// The pod.
        pod: PodId,
    },
    /// It has none.
    #[error("pod {pod} has no network")]
    NotAttached {
        /// The pod.
        pod: PodId,
    },
    /// Something else is going on.
    #[error("another operation on this pod's network, or a collection, did not end within {} s", limit.as_secs())]
    Busy {
        /// How long was waited.
        limit: Duration,
    },
    /// A set-up failed, and so did undoing it. The record stays; a later teardown goes on.
    #[error("undo the half-made network of pod {pod}, after: {}", model::chain(cause.as_ref()))]
    Undo {
        /// The pod.
        pod: PodId,
        /// Why the set-up failed.
        cause: Box<NetworkError>,
        /// Why undoing it did.
        #[source]
        source: Box<NetworkError>,
    },
    /// The task of the operation is gone.
    #[error("the runtime ended in the middle of an operation on the pod's network")]
    Lost,
}

impl NetworkError {
    /// The kind of the error.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(_) => Fault::Invalid,
            Self::Configuration(_) | Self::NoAddress { .. } | Self::Attach(_) => Fault::HostUnfit,
            Self::Cni {
                source: CniError::Plugin { source, .. },
                ..
            } => match source.as_ref() {
                PluginError::Missing { .. } | PluginError::Start { .. } => Fault::HostUnfit,
                PluginError::Late { .. } => Fault::DeadlineExceeded,
                _ => Fault::Internal,
            },
            Self::Namespace(NamespaceError::Late { .. }) | Self::Busy { .. } => {
                Fault::DeadlineExceeded
            }
            Self::Exists { .. } => Fault::Refused,
            Self::NotAttached { .. } => Fault::NotFound,
            Self::Undo { cause, .. } => cause.fault(),
            Self::Cni { .. }
            | Self::Result(_)
            | Self::Namespace(_)
            | Self::Record(_)
            | Self::Lost => Fault::Internal,
        }
    }
}
