//! Requests that are with the server. Main type: [`Waiting`]. Above: `backend`.
//!
//! Each has a number of ours, never used twice while the device is there. So of a number that comes back one can tell: it waits, it was
//! answered or forgotten before, or it never went out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::queue::chain::Chain;

/// The requests by number.
#[derive(Debug)]
pub(super) struct Waiting {
    requests: BTreeMap<u64, Asked>,
    next: Arc<AtomicU64>,
    most: usize,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Asked {
    /// Which of the device's queues it came by.
    pub(super) queue: usize,
    /// The guest's number for it.
    pub(super) unique: u64,
    /// Where the answer goes.
    pub(super) chain: Chain,
}

/// A number for which nobody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nobody {
    /// The request has been answered, or its driver is gone.
    Past,
    /// It never went out.
    Never,
}

impl Waiting {
    /// Room for `most` at a time.
    pub(super) fn new(next: Arc<AtomicU64>, most: usize) -> Self {
        Self {
            requests: BTreeMap::new(),
            next,
            most,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.requests.len() >= self.most
    }

    /// The number that the next request has.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The request of that number has gone out, and nobody waits for an answer.
    pub(super) fn skip(&self) {
        self.next.fetch_add(1, Ordering::Relaxed);
    }

    /// The request of that number has gone out.
    pub(super) fn add(&mut self, asked: Asked) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.requests.insert(number, asked);
    }

    /// The request of that number waits no more, if it did.
    pub(super) fn take(&mut self, number: u64) -> Result<Asked, Nobody> {
        match self.requests.remove(&number) {
            Some(asked) => Ok(asked),
            None if (1..self.next()).contains(&number) => Err(Nobody::Past),
            None => Err(Nobody::Never),
        }
    }

    /// Any one, until there is none.
    pub(super) fn take_first(&mut self) -> Option<Asked> {
        self.requests.pop_first().map(|(_, asked)| asked)
    }
}
