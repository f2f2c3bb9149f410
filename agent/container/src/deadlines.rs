//! Every deadline of this crate.

use std::time::Duration;

/// A launcher that has not answered by then is killed. Generous: it covers libcontainer's work on a slow nested host.
pub const LAUNCH_DEADLINE: Duration = Duration::from_secs(60);

/// From `cgroup.kill` to a cgroup without processes. Longer than a task may sit in an uninterruptible wait on a slow disk.
pub const KILL_DEADLINE: Duration = Duration::from_secs(10);
