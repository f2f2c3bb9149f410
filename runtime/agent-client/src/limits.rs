//! Bounds on what a guest can make this side do, and the waits that are not the caller's.

use std::time::Duration;

/// Longest answer to `CONNECT <port>`, in bytes: "OK 4294967295\n" and some.
pub(crate) const CONNECT_ANSWER_BYTES: usize = 32;

/// Longest sentence of a guest that is passed on, in characters.
pub(crate) const SENTENCE_CHARS: usize = 1024;

/// Events that wait for the caller; then the stream is not read on.
pub(crate) const EVENTS: usize = 256;

/// First pause between two attempts to reach an agent whose guest boots; it doubles up to [`LONGEST_PAUSE`]. There is nothing to wait
/// for instead: the guest opens no connection.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// See [`FIRST_PAUSE`].
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Output read at once, in bytes.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Output after which it is acknowledged, in bytes: a quarter of what the guest holds.
pub(crate) const ACKNOWLEDGE_BYTES: u64 = 64 * 1024;
