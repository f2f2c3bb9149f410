//! Every deadline and limit of this crate that a caller does not choose.

use std::time::Duration;

/// One attempt to reach an agent that may still be booting. Shorter than the whole wait, because a connection request that the guest
/// lost while its driver started is never answered.
pub(crate) const ATTEMPT_DEADLINE: Duration = Duration::from_secs(5);

/// Between attempts, at first and at most. Nothing outside of the guest says when it begins to listen.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(2);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// For the few bytes by which a connection or a stream is opened.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// Chunks of standard input that have been sent and not been taken. Their acknowledgements, 8 bytes each, always find room on the way, so
/// an agent that has to say something is never held up by a caller that does not listen.
pub(crate) const MOST_CHUNKS_UNDER_WAY: usize = 16;

/// Longest answer of the monitor to CONNECT: "OK ", a port number and a newline.
pub(crate) const MAX_CONNECT_ANSWER_BYTES: usize = 32;

/// Events that wait for the caller. An honest agent keeps 4096 at most; one that sends more than this ahead of a caller that takes none
/// is cut off, so that it cannot fill the host's memory.
pub(crate) const MAX_WAITING_EVENTS: usize = 8192;

/// Containers or network interfaces in one answer about a pod's use.
pub(crate) const MAX_LISTED: usize = 1024;

/// A guest's text is cut here.
pub(crate) const MAX_TEXT_BYTES: usize = 1024;
