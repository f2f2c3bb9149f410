//! Bounds of the monitor. Those that a launcher has to know are in `monitor::limits`.

use std::time::Duration;

use monitor::Launch;

/// Descriptors of the process: one for each vsock connection and each segment of a disk, a few dozen for the machine itself.
const DESCRIPTORS: u64 = 4096;

/// And of each function of the host: two for each vector of MSI (at most 32) and MSI-X (at most 256), and its own.
const FUNCTION_DESCRIPTORS: u64 = 2 * (32 + 256) + 8;

/// What one process may use up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) descriptors: u64,
    /// Memory that is pinned: all of a guest's that is given a function of the host, for its device may write to any of it.
    pub(crate) locked_bytes: u64,
}

/// For this machine.
pub(crate) fn resources(launch: &Launch) -> Resources {
    let now = launch.vfio.as_ref().map_or(0, |vfio| vfio.functions.len());
    let later = u64::from(launch.later_functions);
    // Those from the start share a container, in which memory is counted once; each that comes later has its own.
    let containers = u64::from(now > 0) + later;
    Resources {
        descriptors: DESCRIPTORS + FUNCTION_DESCRIPTORS * (now as u64 + later),
        locked_bytes: launch.memory_bytes.saturating_mul(containers),
    }
}

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
