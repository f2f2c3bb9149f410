//! Bounds of the monitor. Those that a launcher has to know are in `monitor::limits`.

use std::time::Duration;

/// Descriptors of the process: one for each vsock connection and each segment of a disk, a few dozen for the machine itself.
pub(crate) const DESCRIPTORS: u64 = 4096;

/// Descriptors that are ready at once and are taken from the kernel in one call.
pub(crate) const EVENTS: usize = 16;

/// Orders that wait for a worker thread. Each comes from a processor's thread, which waits for the answer.
pub(crate) const ORDERS: usize = 64;

/// Endings that wait to be said; only the first one is.
pub(crate) const ENDINGS: usize = 4;

/// For a thread to have its filter, and for a worker to let go of a device. It only passes when the host has stopped this process.
pub(crate) const THREAD_DEADLINE: Duration = Duration::from_secs(30);

/// For the launch message to come.
pub(crate) const LAUNCH_DEADLINE: Duration = Duration::from_secs(30);
