//! Every wait of this crate. Main type: [`Deadlines`]. What waits for a process or a pod waits as the backend does.

use std::time::Duration;

const TOKEN: Duration = Duration::from_secs(60);
const REQUEST: Duration = Duration::from_secs(10);
const STREAMS: Duration = Duration::from_secs(30);
const STALLED: Duration = Duration::from_secs(4 * 60 * 60);
const STUCK: Duration = Duration::from_secs(5);
const FAREWELL: Duration = Duration::from_secs(5);
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// A client that has vanished is noticed after two minutes of silence: the kernel asks for it after one, and then six times. These are the
/// kernel's waits, so no slow machine stretches them.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub(crate) const KEEPALIVE_COUNT: u32 = 6;

/// The waits of one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// For a client to come with its token.
    pub(crate) token: Duration,
    /// For a request's head, and for TLS before it; twice as long for all until the answer is sent.
    pub(crate) request: Duration,
    /// For the streams of an exec or an attach, or for the second of a forwarded connection; Kubernetes' clients wait as long.
    pub(crate) streams: Duration,
    /// For a client to take the next frame. A person may stop a pager for hours; Kubernetes calls a stream idle after the same time.
    pub(crate) stalled: Duration,
    /// For what a client sent to be taken by whom it is for; after that the connection is watched for its end.
    pub(crate) stuck: Duration,
    /// For a client to close its side when all is said; and for what is left to be taken, by it and of it, when it goes.
    pub(crate) farewell: Duration,
    /// Before connections are accepted again after that failed, as when there are no descriptors left.
    pub(crate) accept_again: Duration,
}

impl Deadlines {
    /// All waits, multiplied by `scale`.
    pub(crate) fn scaled(scale: u32) -> Self {
        Self {
            token: TOKEN.saturating_mul(scale),
            request: REQUEST.saturating_mul(scale),
            streams: STREAMS.saturating_mul(scale),
            stalled: STALLED.saturating_mul(scale),
            stuck: STUCK.saturating_mul(scale),
            farewell: FAREWELL.saturating_mul(scale),
            accept_again: ACCEPT_AGAIN.saturating_mul(scale),
        }
    }
}
