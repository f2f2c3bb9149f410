//! Every size that this crate accepts or answers, in one place.

/// Largest sandbox or container configuration, in bytes as a message: it is kept in the pod's record, which is read back whole.
pub(crate) const MOST_CONFIG_BYTES: usize = 2 << 20;

/// Objects in one message of a streamed list. Annotations are at most 256 KiB an object in Kubernetes, so a message stays below its limit.
pub(crate) const PIECE_OBJECTS: usize = 32;

/// Most output of one ExecSync, both streams together, in bytes: the message's limit less what frames it.
pub(crate) const EXEC_OUTPUT_BYTES: usize = cri::MAX_MESSAGE_BYTES - (64 << 10);

/// Bytes of an exec's output read at once.
pub(crate) const EXEC_PIECE_BYTES: usize = 32 << 10;

/// Pieces of an exec's output that wait for a streaming client.
pub(crate) const EXEC_PIECES: usize = 8;

/// Most output of a streamed exec that is passed on after the process's end, in bytes: more than all pipes, windows and sockets on the way
/// hold, so that only what others write is cut off.
pub(crate) const EXEC_REST_BYTES: usize = 4 << 20;

/// Input of a streaming client that waits for a process, in bytes: one chunk of the guest's protocol.
pub(crate) const INPUT_BYTES: usize = 64 << 10;

/// Output of an exec after which the guest is told that it has arrived, in bytes: a quarter of what the guest holds.
pub(crate) const ACKNOWLEDGE_BYTES: u64 = 64 << 10;

/// Events that a slow reader may be behind; then its stream ends with an error, and it lists anew.
pub(crate) const EVENTS: usize = 1024;

/// Connections for metrics at the same time; others wait until they are accepted.
pub(crate) const SCRAPERS: usize = 4;

/// Largest head of a request for metrics, in bytes: the least that hyper takes.
pub(crate) const SCRAPE_REQUEST_BYTES: usize = 8 << 10;

/// Largest seccomp profile, in bytes: what `pod` takes.
pub(crate) const SECCOMP_PROFILE_BYTES: usize = 512 << 10;

/// Largest AppArmor policy that a guest is given, in bytes: what its agent takes.
pub(crate) const MOST_APPARMOR_BYTES: u64 = 3 << 20;
