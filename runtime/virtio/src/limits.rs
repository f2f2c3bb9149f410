//! Every bound of this crate, with its unit and its reason. Users: the devices and the transport.

/// Entries of a disk's queue: what Linux uses at depth 128 with two segments each, and enough for an NVMe drive behind it.
pub(crate) const DISK_QUEUE_ENTRIES: u16 = 256;

/// Requests that a disk serves before it looks whether it shall stop: a driver that never lets the queue run dry can't keep it
/// from that, and one that resets the disk does not wait long. Looking costs three system calls.
pub(crate) const DISK_REQUESTS_PER_RUN: u32 = 64;

/// Ranges in one discard or write-zeroes request, as the device's configuration says.
pub(crate) const DISK_RANGES_PER_REQUEST: u32 = 32;

/// Sectors of 512 bytes in one range of a discard or write-zeroes request: 2 GiB, so that one call ends soon.
pub(crate) const DISK_SECTORS_PER_RANGE: u32 = 4 << 20;

/// Entries of the entropy device's queue. Linux has one request in flight.
pub(crate) const ENTROPY_QUEUE_ENTRIES: u16 = 16;

/// Bytes of random numbers for one request, whatever it has room for.
pub(crate) const ENTROPY_BYTES_PER_REQUEST: usize = 64 << 10;

/// Bytes of random numbers before other devices on the same thread get their turn: about half a millisecond of work.
pub(crate) const ENTROPY_BYTES_PER_RUN: usize = 256 << 10;

/// Requests before other devices on the same thread get their turn, however small they are.
pub(crate) const ENTROPY_REQUESTS_PER_RUN: u32 = 64;
