//! How long this crate waits for a monitor. Generous: they are for a monitor that hangs, and have to hold on a host that
//! emulates its processors.

use std::time::Duration;

/// From the monitor's exec until its processors run.
pub const LAUNCH: Duration = Duration::from_secs(60);

/// For an answer on the control socket.
pub const REQUEST: Duration = Duration::from_secs(30);

/// For a process to be gone after SIGKILL.
pub const KILL: Duration = Duration::from_secs(30);

/// For a machine that lives with its launcher to end by itself after the handle is dropped; then it is killed.
pub const FAREWELL: Duration = Duration::from_secs(10);

/// Between the closing of a monitor's sockets and the end of its process.
pub const DYING: Duration = Duration::from_secs(5);
