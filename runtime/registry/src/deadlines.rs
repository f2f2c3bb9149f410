//! How long this crate waits for a registry. A pull as a whole has no deadline (the kubelet sets none): it ends with an
//! error when nothing arrives any more, and at once when its future is dropped.
//!
//! Main type: [`Patience`].

use std::time::Duration;

/// How long to wait for a registry at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the head of an answer, from the request on.
    pub answer: Duration,
    /// For more bytes of an answer; after that the connection counts as cut.
    pub stall: Duration,
    /// Before a layer that was cut is asked for again; doubled with each try in a row that brings nothing.
    pub retry: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            retry: Duration::from_millis(250),
        }
    }
}

impl Patience {
    /// For a machine that is slower by so many times.
    #[must_use]
    pub fn scaled(self, times: u32) -> Self {
        Self {
            connect: self.connect * times,
            answer: self.answer * times,
            stall: self.stall * times,
            retry: self.retry,
        }
    }
}
