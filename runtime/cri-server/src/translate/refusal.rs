//! Why a request is refused before anything is touched. Main type: [`Refusal`].

use thiserror::Error;
use tonic::Status;

/// A request that will not be tried.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It can never be right.
    #[error("{0}")]
    Invalid(String),
    /// It is right, and this build can't do it.
    #[error("{0}")]
    Unimplemented(String),
    /// It is right, and this host can't do it.
    #[error("{0}")]
    Unfit(String),
}

impl Refusal {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    pub(crate) fn unimplemented(text: impl Into<String>) -> Self {
        Self::Unimplemented(text.into())
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(text) => Self::invalid_argument(text),
            Refusal::Unfit(text) => Self::failed_precondition(text),
            Refusal::Unimplemented(text) => Self::unimplemented(text),
        }
    }
}
