//! Every limit and deadline of the socket device, with its reason. Above: all files of [`vsock`](super).

use std::time::Duration;

const KIB: u32 = 1024;

/// Sizes of the receive, transmit and event queues. Linux fills the whole receive queue with 4 KiB buffers, so its size is
/// guest memory: 128 of them hold more than one connection's credit. Linux posts 8 event buffers.
pub(super) const QUEUE_SIZES: [u16; 3] = [128, 128, 8];

/// Connections at a time. Ten bits of a local port name the slot; 1023 is also what Firecracker allows.
pub(super) const CONNECTIONS: u16 = 1023;

/// Our `buf_alloc`: bytes from the guest that we hold for one client that doesn't read. Four of Linux's largest packets.
pub(super) const BACKLOG_BYTES: u32 = 256 * KIB;

/// The guest hears of room at the latest when this much of it is news. As a quarter of the buffer it can't starve: a guest
/// that is out of credit has sent at least this much since it last heard, and it all drains in the end.
pub(super) const CREDIT_NEWS_BYTES: u32 = BACKLOG_BYTES / 4;

/// Bytes taken from a client in one call when it has a lot and the guest's buffers are small; also what is held for a guest
/// that is out of buffers, and how much one connection may send before the next has its turn.
pub(super) const TURN_BYTES: u32 = 64 * KIB;

/// Receive buffers that hold at least this much are filled directly, without the detour over [`TURN_BYTES`].
pub(super) const LARGE_BUFFER_BYTES: usize = 16 * 1024;

/// Less credit than this is not used, unless the peer's buffer is tiny: full packets cost the guest less memory.
pub(super) const LEAST_CREDIT_BYTES: u32 = 4 * KIB;

/// Replies to packets that belong to no connection and wait for a receive buffer. When full, the transmit queue rests until
/// the guest gives receive buffers (virtio 1.3, section 5.10.6.1): no reply is lost and nothing grows.
pub(super) const RESETS: usize = 256;

/// Guest packets handled in one run of the backend: 4 MiB at most, a millisecond or two of copying, then the thread's other
/// devices have their turn.
pub(super) const TRANSMIT_PACKETS_PER_RUN: u32 = 64;

/// Packets given to the guest in one run of the backend: one fill of its receive queue.
pub(super) const RECEIVE_PACKETS_PER_RUN: u32 = 128;

/// Clients accepted in one run of the backend.
pub(super) const ACCEPTS_PER_RUN: u32 = 32;

/// Readiness events taken from the kernel in one run.
pub(super) const EVENTS_PER_RUN: usize = 64;

/// Longest greeting, its end of line included: `CONNECT 4294967295` has 18 bytes.
pub(super) const GREETING_BYTES: usize = 32;

/// A client sends its greeting within this time.
pub(super) const GREETING_DEADLINE: Duration = Duration::from_secs(5);

/// The guest's kernel answers a request at once or not at all; emulated test hosts are ten times slower than hardware.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// A peer that was told of the end in both directions answers with RST within this time. Linux gives its peer 8 s.
pub(super) const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// A client takes what the guest sent before it closed: this long without taking a byte, and the rest is dropped.
pub(super) const DRAIN_DEADLINE: Duration = Duration::from_secs(60);

/// When the process is out of descriptors, the next try to accept.
pub(super) const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);
