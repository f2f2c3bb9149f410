//! Every time limit of the test host, with its reason.

use std::time::Duration;

/// How long a command may run if nobody says: an e2e run takes a few minutes, ten times slower than on hardware.
pub const COMMAND: Duration = Duration::from_secs(30 * 60);

/// How often PID 1 of the test host shows that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// A host that shows neither heartbeat nor console output for so long is dead: it is given the time of a machine
/// whose cores all compile, where a heartbeat was seen to come 20 s late.
pub const SILENCE: Duration = Duration::from_secs(90);

/// How often the state of QEMU and the heartbeat are looked at.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// The driver makes the nodes of a virtio port within this time after it was loaded; it takes milliseconds.
pub const PORT: Duration = Duration::from_secs(20);

/// How often such a node is looked for.
pub const PORT_INTERVAL: Duration = Duration::from_millis(20);

/// The rest of the output arrives within this time after the command ended, unless our own reader is slow.
pub const DRAIN: Duration = Duration::from_secs(60);
