//! Every wait of this crate. Main type: [`Deadlines`]. What waits for a guest waits by `pod`'s deadlines.

use std::time::Duration;

const SHUTDOWN: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(500);
const DRAIN: Duration = Duration::from_secs(5);
const KILL: Duration = Duration::from_secs(10);
const HANG_UP: Duration = Duration::from_secs(2);
const USAGE: Duration = Duration::from_secs(3);
const SCRAPER: Duration = Duration::from_secs(3);

/// The waits of one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// For calls that are under way when the daemon is asked to end.
    pub(crate) shutdown: Duration,
    /// For the next piece of an exec's output once its process has ended: a process that it left behind may hold the stream open.
    pub(crate) quiet: Duration,
    /// For all of that output.
    pub(crate) drain: Duration,
    /// For the end of an exec that has been killed.
    pub(crate) kill: Duration,
    /// For an exec to end after its terminal's client has gone; then it is killed.
    pub(crate) hang_up: Duration,
    /// For what a pod uses, where a list of all pods waits for it.
    pub(crate) usage: Duration,
    /// For the head of a request for metrics; twice as long for all of the connection.
    pub(crate) scraper: Duration,
}

impl Deadlines {
    /// All waits, multiplied by `scale`.
    pub(crate) fn scaled(scale: u32) -> Self {
        Self {
            shutdown: SHUTDOWN.saturating_mul(scale),
            quiet: QUIET.saturating_mul(scale),
            drain: DRAIN.saturating_mul(scale),
            kill: KILL.saturating_mul(scale),
            hang_up: HANG_UP.saturating_mul(scale),
            usage: USAGE.saturating_mul(scale),
            scraper: SCRAPER.saturating_mul(scale),
        }
    }
}
