//! What of FUSE the device understands: the header of a request and that of a reply (struct fuse_in_header and fuse_out_header of
//! include/uapi/linux/fuse.h). Main types: [`Request`] and [`Reply`]. Above: `backend`.
//!
//! This is the one place where bytes of the guest and of the server are checked. Both are copies: nobody changes them any more.

#[cfg(test)]
mod tests;

use std::ops::Range;

use rustix::io::Errno;

use crate::limits::SHARE_MESSAGE_BYTES;

/// Bytes of a request's header.
pub(super) const REQUEST_HEADER_BYTES: usize = 40;

/// Bytes of a reply's header.
pub(super) const REPLY_HEADER_BYTES: usize = 16;

/// Where the unique number is in both.
const UNIQUE: Range<usize> = 8..16;

/// Operations without a reply.
const FORGET: u32 = 2;
const BATCH_FORGET: u32 = 42;

/// Operations that speak about another request by its number, which the server does not know: it gets numbers of ours. Linux sends
/// none of them over virtio.
const INTERRUPT: u32 = 36;
const NOTIFY_REPLY: u32 = 41;

/// Largest error number that a reply may have, MAX_ERRNO of include/linux/err.h.
const MOST_ERROR: i32 = 4095;

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// It goes to the server, which answers.
    Answered {
        /// The guest's number for it.
        unique: u64,
    },
    /// It goes to the server, and that is all.
    Unanswered,
    /// It goes nowhere.
    Ignored,
}

/// A request that goes nowhere, because of what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// The guest's number for it, as far as it has one.
    pub(super) unique: u64,
    /// What the guest is told, if it left room for that.
    pub(super) error: Errno,
}

/// A reply whose length and error are in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    /// Our number for the request.
    pub(super) unique: u64,
}

/// A server that does not keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lie;

/// Checks a request of `length` bytes whose answer has room for `room` bytes. `bytes` holds all of it, unless it is too long.
pub(super) fn request(bytes: &[u8], length: usize, room: usize) -> Result<Request, Refused> {
    let unique = field(bytes, UNIQUE.start).map_or(0, u64::from_le_bytes);
    let refused = |error| Refused { unique, error };
    if length > SHARE_MESSAGE_BYTES {
        return Err(refused(Errno::TOOBIG));
    }
    let (Some(says), Some(opcode)) = (number(bytes, 0), number(bytes, 4)) else {
        return Err(refused(Errno::INVAL));
    };
    let whole = bytes.len() == length && usize::try_from(says) == Ok(length);
    if !whole || length < REQUEST_HEADER_BYTES {
        return Err(refused(Errno::INVAL));
    }
    match opcode {
        FORGET | BATCH_FORGET => Ok(Request::Unanswered),
        INTERRUPT | NOTIFY_REPLY => Ok(Request::Ignored),
        // Nobody could be told what became of it.
        _ if room < REPLY_HEADER_BYTES => Err(refused(Errno::INVAL)),
        _ => Ok(Request::Answered { unique }),
    }
}

/// Checks a packet of the server, all of whose bytes are here.
pub(super) fn reply(bytes: &[u8]) -> Result<Reply, Lie> {
    let unique = field(bytes, UNIQUE.start).map(u64::from_le_bytes);
    let (Some(says), Some(error), Some(unique)) = (number(bytes, 0), number(bytes, 4), unique)
    else {
        return Err(Lie);
    };
    let error = error.cast_signed();
    let whole = usize::try_from(says) == Ok(bytes.len());
    let possible = (-MOST_ERROR..=0).contains(&error);
    // An error has nothing behind it.
    let bare = error == 0 || bytes.len() == REPLY_HEADER_BYTES;
    if whole && possible && bare {
        Ok(Reply { unique })
    } else {
        Err(Lie)
    }
}

/// Writes another number over that of a request or a reply.
pub(super) fn set_unique(bytes: &mut [u8], unique: u64) {
    if let Some(place) = bytes.get_mut(UNIQUE) {
        place.copy_from_slice(&unique.to_le_bytes());
    }
}

/// A reply that says no.
pub(super) fn failure(unique: u64, error: Errno) -> [u8; REPLY_HEADER_BYTES] {
    let length = u64::try_from(REPLY_HEADER_BYTES).unwrap_or_default();
    let error = u64::from((-error.raw_os_error()).cast_unsigned());
    let mut bytes = [0; REPLY_HEADER_BYTES];
    let (front, back) = bytes.split_at_mut(UNIQUE.start);
    front.copy_from_slice(&(length | error << 32).to_le_bytes());
    back.copy_from_slice(&unique.to_le_bytes());
    bytes
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    field(bytes, at).map(u32::from_le_bytes)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
