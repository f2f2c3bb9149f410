//! The journal behind the one event stream: numbers events, keeps them for a host that comes back, wakes its readers. Owned by the
//! owner of the containers.

use std::collections::VecDeque;

use agent::agent::{Event, OutOfMemory, ProcessExited, event::What};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use crate::deadlines::{EVENTS_PER_BATCH, MAX_EVENTS};

/// All events that are kept.
#[derive(Debug)]
pub(crate) struct Journal {
    kept: VecDeque<Event>,
    /// The sequence number of the newest event ever; a change wakes the streams.
    newest: watch::Sender<u64>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            kept: VecDeque::new(),
            newest: watch::Sender::new(0),
        }
    }

    pub(crate) fn process_exited(&mut self, exited: ProcessExited) {
        self.push(What::ProcessExited(exited));
    }

    pub(crate) fn out_of_memory(&mut self, container_id: &str, kills: u64) {
        let container_id = container_id.to_owned();
        self.push(What::OutOfMemory(OutOfMemory {
            container_id,
            kills,
            ..Default::default()
        }));
    }

    /// The next events after that number, oldest first.
    pub(crate) fn after(&self, sequence: u64) -> Vec<Event> {
        let from = self
            .kept
            .partition_point(|event| event.sequence <= sequence);
        self.kept
            .range(from..)
            .take(EVENTS_PER_BATCH)
            .cloned()
            .collect()
    }

    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Drops what is known of a container that has been removed.
    pub(crate) fn forget(&mut self, container_id: &str) {
        self.kept.retain(|event| match &event.what {
            Some(What::ProcessExited(exited)) => exited.container_id != container_id,
            Some(What::OutOfMemory(oom)) => oom.container_id != container_id,
            _ => true,
        });
    }

    fn push(&mut self, what: What) {
        let sequence = *self.newest.borrow() + 1;
        if self.kept.len() == MAX_EVENTS {
            self.kept.pop_front();
        }
        self.kept.push_back(Event {
            sequence,
            time_ns: wall_clock_ns(),
            what: Some(what),
            ..Default::default()
        });
        self.newest.send_replace(sequence);
    }
}

fn wall_clock_ns() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec)
}

#[cfg(test)]
mod tests;
