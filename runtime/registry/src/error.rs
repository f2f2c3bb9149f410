//! Why a pull failed, in words for people and as a [`Kind`] for programs.
//!
//! Main types: [`PullError`] and [`Problem`], what one host had against one request. No text here has a secret in it:
//! addresses are shown without their queries, in which content networks carry signatures.

use std::fmt;
use std::sync::Arc;

use images::{Digest, SourceError, StoreError};

use crate::hosts::HostsError;

/// What callers branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No host could be reached, or each failed on its side; later it may work.
    Unavailable,
    /// The registry has no such image.
    NotFound,
    /// The registry wants other credentials, or any.
    Unauthorized,
    /// The image is damaged, forged, of another platform or of a form that is not supported.
    BadContent,
    /// The store's disk, or a quota on it, is full.
    DiskFull,
    /// Nobody waits for it any more.
    Cancelled,
    /// The configuration, the store, or a request that the registry does not take.
    Other,
}

/// An image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The hosts can't be used.
    #[error("find the hosts of the image")]
    Hosts(#[source] HostsError),
    /// The `auth` form of a credential.
    #[error("the credential's `auth` is not the base64 of a user name, a colon and a password")]
    Credential,
    /// No host gave it.
    #[error("fetch {what}: {}", list(.attempts))]
    Fetch {
        /// What was asked for.
        what: String,
        /// Each host that was asked, in order, with its reason.
        attempts: Vec<Attempt>,
    },
    /// A document that came as promised and is no use.
    #[error("read what the registry has under {name}")]
    Document {
        /// The image.
        name: String,
        /// Why.
        #[source]
        source: Box<SourceError>,
    },
    /// A layer failed, for this pull or for one that shares it.
    #[error("pull layer {number} ({diff_id}) of {name}")]
    Layer {
        /// The image.
        name: String,
        /// Counts from 1, bottom first.
        number: usize,
        /// Digest of the unpacked layer.
        diff_id: Digest,
        /// Why.
        #[source]
        source: Arc<PullError>,
    },
    /// The disk of the store is full; nothing of the image is kept.
    #[error("the disk of the image store is full; nothing of the image is kept")]
    DiskFull(#[source] Box<StoreError>),
    /// The store refuses the image or could not write it.
    #[error("write the image into the store")]
    Store(#[source] Box<StoreError>),
    /// Nobody waits for it any more.
    #[error("the pull was cancelled")]
    Cancelled,
    /// A thread of ours panicked; the log has more.
    #[error("the pull broke off; this is a bug of Cofferdam")]
    Broken,
}

/// One host and what it had against a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Host with its port.
    pub host: String,
    /// Its reason.
    pub problem: Problem,
}

/// What one host had against one request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No connection, or no answer on it.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke within an answer.
    #[error("the connection broke after {got} of {size} bytes: {reason}")]
    Cut {
        /// Bytes that are here.
        got: u64,
        /// Bytes that there are.
        size: u64,
        /// Why it broke.
        reason: String,
    },
    /// No image of this name, or not this blob.
    #[error("not found{0}")]
    NotFound(Said),
    /// The credential is wrong or missing; the text says what was done with it.
    #[error("not authorised{said}{credential}")]
    Unauthorized {
        /// The host's words.
        said: Said,
        /// What was sent, or why nothing was.
        credential: &'static str,
    },
    /// Another status than one that gives bytes.
    #[error("answered with status {status}{said}")]
    Status {
        /// HTTP's number.
        status: u16,
        /// The host's words.
        said: Said,
    },
    /// Bytes that are not those asked for.
    #[error("{0}")]
    Content(String),
    /// The answer breaks a rule of the protocol, or one of ours.
    #[error("{0}")]
    Protocol(String),
}

/// What a host says to people; safe on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(pub(crate) String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (it says: {})", self.0)
    }
}

impl Problem {
    /// What it means for the whole pull if no other host helps.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unreachable(_) | Self::Cut { .. } => Kind::Unavailable,
            Self::NotFound(_) => Kind::NotFound,
            Self::Unauthorized { .. } => Kind::Unauthorized,
            // Too early, too many requests, a time-out on the server's side: RFC 9110, 15.5.9; RFC 6585, 4.
            Self::Status { status, .. } if *status >= 500 || matches!(status, 408 | 425 | 429) => {
                Kind::Unavailable
            }
            Self::Status { .. } | Self::Protocol(_) => Kind::Other,
            Self::Content(_) => Kind::BadContent,
        }
    }

    /// An error of the HTTP client: its reasons, without the address.
    pub(crate) fn unreachable(error: reqwest::Error) -> Self {
        Self::Unreachable(chain(&error.without_url()))
    }
}

impl PullError {
    /// What to branch on.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            // The registry itself is asked last: it knows best whether the image exists and who may have it.
            Self::Fetch { attempts, .. } => {
                let last = attempts.last();
                last.map_or(Kind::Other, |attempt| attempt.problem.kind())
            }
            Self::Document { .. } => Kind::BadContent,
            Self::Layer { source, .. } => source.kind(),
            Self::DiskFull(_) => Kind::DiskFull,
            Self::Store(source) if source.is_bad_content() => Kind::BadContent,
            Self::Credential => Kind::Unauthorized,
            Self::Cancelled => Kind::Cancelled,
            Self::Hosts(_) | Self::Store(_) | Self::Broken => Kind::Other,
        }
    }
}

impl From<StoreError> for PullError {
    fn from(source: StoreError) -> Self {
        if source.is_disk_full() {
            Self::DiskFull(Box::new(source))
        } else {
            Self::Store(Box::new(source))
        }
    }
}

fn list(attempts: &[Attempt]) -> String {
    let attempts = attempts.iter();
    let attempts = attempts.map(|attempt| format!("{}: {}", attempt.host, attempt.problem));
    attempts.collect::<Vec<_>>().join("; ")
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Some libraries repeat their cause.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}
