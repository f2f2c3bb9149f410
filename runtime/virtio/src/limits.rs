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

/// Bytes of a disk's physical block, and of the largest logical one: what drives and file systems have, and a page.
pub(crate) const DISK_BLOCK_BYTES: u32 = 4096;

/// Entries of the entropy device's queue. Linux has one request in flight.
pub(crate) const ENTROPY_QUEUE_ENTRIES: u16 = 16;

/// Bytes of random numbers for one request, whatever it has room for.
pub(crate) const ENTROPY_BYTES_PER_REQUEST: usize = 64 << 10;

/// Bytes of random numbers before other devices on the same thread get their turn: about half a millisecond of work.
pub(crate) const ENTROPY_BYTES_PER_RUN: usize = 256 << 10;

/// Requests before other devices on the same thread get their turn, however small they are.
pub(crate) const ENTROPY_REQUESTS_PER_RUN: u32 = 64;

/// Entries of a NIC's receive and transmit queues: six of the longest frames in buffers of 1.5 KiB, as Linux makes them.
pub(crate) const NIC_QUEUE_ENTRIES: u16 = 256;

/// Entries of a NIC's control queue. Linux has one command in flight, of three descriptors.
pub(crate) const NIC_CONTROL_ENTRIES: u16 = 16;

/// Pairs of queues of a NIC; as many as the monitor's messages allow.
pub(crate) const NIC_PAIRS: usize = 8;

/// Frames in one direction of a pair before the other one, and the other pairs, have their turn: 4 MiB at most.
pub(crate) const NIC_FRAMES_PER_RUN: u32 = 64;

/// Commands on a NIC's control queue in one run. Each may wait for the host's network lock.
pub(crate) const NIC_COMMANDS_PER_RUN: u32 = 4;

/// Readiness events taken from the kernel in one run: each source of a NIC of eight pairs once.
pub(crate) const NIC_EVENTS_PER_RUN: usize = 32;

/// Frames from before the driver that are thrown away when it starts: more than a tap holds (TUN_READQ_SIZE, 500). What comes faster
/// than that is for the driver.
pub(crate) const NIC_STALE_FRAMES: u32 = 1000;

/// Entries of a file system's queues: more requests than the server has threads for, and room for a request's pages in one table.
pub(crate) const SHARE_QUEUE_ENTRIES: u16 = 256;

/// Largest request to a share server, and its largest reply: 64 KiB of data, and what of names and headers comes with it. The kernel takes
/// a packet of this size without looking for memory that lies in one piece. The server says the same limit to the guest (max_write).
pub(crate) const SHARE_MESSAGE_BYTES: usize = 68 << 10;

/// Requests of one queue that go to a share server before its replies have their turn: 2 MiB at most.
pub(crate) const SHARE_REQUESTS_PER_RUN: u32 = 32;

/// Replies of a share server before requests have their turn: 2 MiB at most.
pub(crate) const SHARE_REPLIES_PER_RUN: u32 = 32;

/// Readiness events taken from the kernel in one run: each source of a file system device once.
pub(crate) const SHARE_EVENTS_PER_RUN: usize = 4;
