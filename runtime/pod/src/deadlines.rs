//! Every wait of this crate. Main type: [`Deadlines`]. The values are for a guest that hangs, not for a slow one; one factor
//! stretches them all on a host that emulates virtualisation.

use std::time::Duration;

const BOOT: Duration = Duration::from_secs(30);
const START: Duration = Duration::from_secs(30);
const CALL: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(5);
const LOG: Duration = Duration::from_secs(10);
const ATTACH: Duration = Duration::from_secs(10);

/// Between two attempts to write to a log that could not be written to.
pub(crate) const LOG_PAUSE: Duration = Duration::from_millis(500);

/// Between two attempts to copy a volume that changes. Each change of the host's is told, but for its last steps.
pub(crate) const VOLUME_PAUSE: Duration = Duration::from_secs(1);

/// The waits of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the first instruction of the guest to the agent's answer.
    pub boot: Duration,
    /// For the container's first process to be executed.
    pub start: Duration,
    /// For any other call to the agent.
    pub call: Duration,
    /// For the rest of the output, once the process has ended.
    pub drain: Duration,
    /// For the monitor to end when asked; then it is killed.
    pub stop: Duration,
    /// For a log that can't be written to; then the container's output is dropped.
    pub log: Duration,
    /// For a client that is attached to a container to read, all in all until it has read everything; then it gets nothing more.
    pub attach: Duration,
    /// For the monitor's own answers.
    pub monitor: vm_client::Deadlines,
}

impl Deadlines {
    /// All waits, multiplied by `scale`.
    #[must_use]
    pub fn scaled(scale: u32) -> Self {
        Self {
            boot: BOOT.saturating_mul(scale),
            start: START.saturating_mul(scale),
            call: CALL.saturating_mul(scale),
            drain: DRAIN.saturating_mul(scale),
            stop: STOP.saturating_mul(scale),
            log: LOG.saturating_mul(scale),
            attach: ATTACH.saturating_mul(scale),
            monitor: vm_client::Deadlines::scaled(scale),
        }
    }

    /// For a killed container to be over, which it is when nothing of it is left with the agent: its process goes, its output arrives, what it
    /// leaves to the host is written back, itself, its volumes and its root are removed. Each of these has a wait of its own, and says
    /// itself when that is over; this one is longer than all of them.
    pub(crate) fn end_of_killed(&self) -> Duration {
        const CALLS: u32 = 4;
        let calls = self.call.saturating_mul(CALLS);
        self.stop.saturating_add(self.drain).saturating_add(calls)
    }
}

#[cfg(test)]
mod tests;
