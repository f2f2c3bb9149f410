//! Every deadline of this crate.

use std::time::Duration;

/// A launcher that has not answered by then is killed. Generous: it covers libcontainer's work on a slow nested host.
pub const LAUNCH_DEADLINE: Duration = Duration::from_secs(60);

/// For the first process of a PID namespace to be there: two executions of this program.
pub const PAUSE_DEADLINE: Duration = Duration::from_secs(10);

/// From `cgroup.kill` to a cgroup without processes. Longer than a task may sit in an uninterruptible wait on a slow disk.
pub const KILL_DEADLINE: Duration = Duration::from_secs(10);
