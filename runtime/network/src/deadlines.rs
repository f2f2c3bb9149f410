//! Every wait of this crate. Main type: [`Deadlines`]. The values are for a plugin or a kernel that hangs, not for a slow one; one
//! factor stretches them all on a host that emulates virtualisation.

use std::time::Duration;

const PLUGIN: Duration = Duration::from_secs(60);
const STATUS: Duration = Duration::from_secs(10);
const NAMESPACE: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_secs(180);

/// The waits of one node's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For one plugin to add, delete, check or collect.
    pub plugin: Duration,
    /// For one plugin to say whether it is ready: a kubelet asks every few seconds.
    pub status: Duration,
    /// For work inside a network namespace: netlink, taps.
    pub namespace: Duration,
    /// For another operation on the same pod, or a collection, to end.
    pub turn: Duration,
}

impl Deadlines {
    /// All waits, multiplied by `scale`.
    #[must_use]
    pub fn scaled(scale: u32) -> Self {
        Self {
            plugin: PLUGIN.saturating_mul(scale),
            status: STATUS.saturating_mul(scale),
            namespace: NAMESPACE.saturating_mul(scale),
            turn: TURN.saturating_mul(scale),
        }
    }
}
