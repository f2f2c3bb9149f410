//! Bounds of the share server.

/// Most mount points of each kind.
pub const MOUNT_POINTS: u16 = 1024;

/// Largest message in either direction, as the monitor's file system device has it.
pub const MESSAGE_BYTES: usize = 68 << 10;

/// Pages of data in one message: 64 KiB. With names and headers it fits [`MESSAGE_BYTES`].
pub(crate) const MESSAGE_PAGES: u16 = 16;

/// Requests that the guest has in flight in the background (read ahead, write back), and how many of them it takes for congestion.
pub(crate) const BACKGROUND_REQUESTS: u16 = 128;
pub(crate) const CONGESTED_REQUESTS: u16 = 96;

/// Threads that serve. Each may wait for storage while the others go on.
pub(crate) const THREADS: usize = 4;

/// Descriptors of the process: one for each file that the guest knows, and each that it has open. The guest forgets files when its
/// memory runs low; a pod that knows more at a time gets EMFILE.
pub(crate) const DESCRIPTORS: u64 = 512 << 10;
