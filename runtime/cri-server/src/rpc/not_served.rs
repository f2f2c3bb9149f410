//! Calls that this build does not serve, each with the reason. A client takes UNIMPLEMENTED for an older runtime.

use tonic::Status;

pub(crate) const CHECKPOINT: &str = "a container in a VM can't be checkpointed by this build";

/// The answer.
pub(crate) fn not_served(reason: &'static str) -> Status {
    Status::unimplemented(reason)
}
