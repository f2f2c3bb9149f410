//! How long this crate waits for a monitor. Main type: [`Deadlines`]. The values are for a monitor that hangs, not for a slow
//! one; one factor stretches them all on a host that emulates virtualisation.

use std::time::Duration;

const LAUNCH: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(10);
const KILL: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(5);
const DYING: Duration = Duration::from_secs(2);

/// The waits for one monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the monitor's exec until its processors run.
    pub launch: Duration,
    /// For an answer on the control socket.
    pub request: Duration,
    /// For a process to be gone after SIGKILL.
    pub kill: Duration,
    /// For a machine that lives with its launcher to end by itself after the handle is dropped; then it is killed.
    pub farewell: Duration,
    /// Between the closing of a monitor's sockets and the end of its process.
    pub dying: Duration,
}

impl Deadlines {
    /// All waits, multiplied by `scale`.
    #[must_use]
    pub fn scaled(scale: u32) -> Self {
        Self {
            launch: LAUNCH.saturating_mul(scale),
            request: REQUEST.saturating_mul(scale),
            kill: KILL.saturating_mul(scale),
            farewell: FAREWELL.saturating_mul(scale),
            dying: DYING.saturating_mul(scale),
        }
    }
}

#[cfg(test)]
mod tests;
