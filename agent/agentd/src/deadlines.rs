//! Every deadline and limit of this crate.

use std::time::Duration;

/// From an accepted stdio connection to its whole `Open` frame: the host writes it right away.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// For the few bytes of an answer or an acknowledgement to a host that reads.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// For a port of the pod's loopback to answer. One that listens answers at once, unless its queue of connections is full.
pub(crate) const DIAL_DEADLINE: Duration = Duration::from_secs(8);

/// For the next byte of one direction of a connection to a port or to a socket of the host's, once the other direction has ended. A host that has gone away looks like
/// one that has nothing more to say, and a server may wait for it for ever.
pub(crate) const HALF_CLOSED_QUIET: Duration = Duration::from_secs(600);

/// Connections to ports at a time; each has two buffers of [`DIAL_PIECE_BYTES`].
pub(crate) const MAX_DIALS: usize = 256;

/// Connections at a time that wait at sockets of the host's, or have a process; each with one has two buffers of [`DIAL_PIECE_BYTES`].
pub(crate) const MAX_WAITS: usize = 512;

/// Bytes of a connection to a port, or to a socket of the host's, that are passed on at once.
pub(crate) const DIAL_PIECE_BYTES: usize = 16 * 1024;

/// Between two attempts to accept when the first failed.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// From Shutdown to power-off, for the answer to leave.
pub(crate) const GOODBYE_DEADLINE: Duration = Duration::from_millis(100);

/// When the host names none for a device that a container's root needs.
pub(crate) const DEVICE_DEADLINE: Duration = Duration::from_secs(30);

/// Longest wait for a device that a host may ask for.
pub(crate) const MAX_DEVICE_DEADLINE: Duration = Duration::from_secs(600);

/// For one answer of the kernel about its network. It is a matter of microseconds; this is for a guest that gets no processor.
pub(crate) const NETLINK_DEADLINE: Duration = Duration::from_secs(10);

/// Events that are kept for a host that comes back; each is about 100 bytes.
pub(crate) const MAX_EVENTS: usize = 4096;

/// Events handed to one subscriber at a time.
pub(crate) const EVENTS_PER_BATCH: usize = 64;

/// Commands waiting for the owner of the containers.
pub(crate) const OWNER_QUEUE: usize = 64;

/// Connections waiting for one stream's task; a newer one takes over anyway.
pub(crate) const CONNECTIONS_PER_STREAM: usize = 4;

/// Stdio connections whose `Open` frame is still to come.
pub(crate) const UNOPENED_CONNECTIONS: usize = 64;

/// Containers of one pod. Kubernetes runs far fewer; this bounds what a mistaken host can make the agent hold.
pub(crate) const MAX_CONTAINERS: usize = 1024;

/// Disks of one container that are block devices to it; a guest's bus has room for fewer.
pub(crate) const MAX_DISKS: usize = 64;

/// Processes of one container that the agent keeps account of.
pub(crate) const MAX_PROCESSES: usize = 1024;

/// Threads for blocking work (mounts, launches). More wait their turn.
pub(crate) const BLOCKING_THREADS: usize = 8;

/// An idle thread is given back soon: a guest is small.
pub(crate) const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(1);
