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
pub const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// QEMU ends by itself within this time after the command did; a poweroff takes less than a second.
pub const POWER_OFF: Duration = Duration::from_secs(20);
