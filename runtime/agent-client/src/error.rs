//! What a call to the agent can come to. Main type: [`AgentError`]. The agent's sentences are passed on cut and without control
//! characters: they come from a guest.

use std::time::Duration;

use thiserror::Error;

use crate::{connect::ConnectError, limits};

/// Why a call failed.
#[derive(Debug, Error)]
pub enum AgentError {
    /// There is no such thing in the guest.
    #[error("{0}")]
    NotFound(String),
    /// It is there, but not in a state for this.
    #[error("{0}")]
    Precondition(String),
    /// The request can never work.
    #[error("{0}")]
    Invalid(String),
    /// The id is taken.
    #[error("{0}")]
    Exists(String),
    /// An attempt in the guest failed.
    #[error("{0}")]
    Failed(String),
    /// No answer in time.
    #[error("the agent did not answer {call} in {} s", waited.as_secs())]
    Late {
        /// The call.
        call: &'static str,
        /// How long this side waited.
        waited: Duration,
    },
    /// The connection ended, or carried something that is no answer.
    #[error("the connection to the agent ended during {call}: {reason}")]
    Lost {
        /// The call.
        call: &'static str,
        /// What the transport said.
        reason: String,
    },
    /// The guest booted, or not, but nobody answered.
    #[error("no agent answered in {} s", waited.as_secs())]
    Silent {
        /// How long this side waited.
        waited: Duration,
        /// The last attempt.
        #[source]
        last: Option<Box<ConnectError>>,
    },
    /// The two sides speak different versions.
    #[error(
        "the agent speaks protocol version {theirs}, this program {ours}: use a guest image of this release"
    )]
    Version {
        /// Ours.
        ours: u32,
        /// The agent's.
        theirs: u32,
    },
}

impl AgentError {
    pub(crate) fn from_ttrpc(call: &'static str, waited: Duration, error: ttrpc::Error) -> Self {
        use ttrpc::Code;
        let status = match error {
            ttrpc::Error::RpcStatus(status) => status,
            other => {
                return Self::Lost {
                    call,
                    reason: shown(&other.to_string()),
                };
            }
        };
        let sentence = shown(status.message());
        match status.code() {
            Code::NOT_FOUND => Self::NotFound(sentence),
            Code::FAILED_PRECONDITION => Self::Precondition(sentence),
            Code::INVALID_ARGUMENT => Self::Invalid(sentence),
            Code::ALREADY_EXISTS => Self::Exists(sentence),
            // ttrpc makes this status itself when the call's time is over.
            Code::DEADLINE_EXCEEDED => Self::Late { call, waited },
            _ => Self::Failed(sentence),
        }
    }
}

/// A guest's sentence, safe to show.
pub(crate) fn shown(sentence: &str) -> String {
    let safe = |letter: char| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    };
    sentence
        .chars()
        .take(limits::SENTENCE_CHARS)
        .map(safe)
        .collect()
}

#[cfg(test)]
mod tests;
