//! What is changed in a message before it is handed on. Main function: [`amend`]. Above: `session`.
//!
//! Three things that the file system below gets wrong when it has the message as the guest sent it:
//!
//! - A file that is open with O_DIRECT takes aligned memory only, and messages are not aligned. What the guest has of O_DIRECT is that its
//!   own cache is passed by; so the host's file is opened without.
//! - The umask is no longer part of a mode where a folder has a default access control list. Only the kernel knows in time, so it gets
//!   the umask and the whole mode.
//! - What allocates room in a file takes its set-user-ID and set-group-ID bits away, as a write does. FUSE does not say who asks, so not
//!   even root keeps them.

#[cfg(test)]
mod tests;

use super::number;

/// Where the message's own fields begin.
const BODY: usize = 40;

/// O_DIRECT of x86-64 (arch/x86 has include/uapi/asm-generic/fcntl.h).
const DIRECT: u32 = 0o40_000;

/// Operations (enum fuse_opcode of include/uapi/linux/fuse.h).
const MKNOD: u32 = 8;
const MKDIR: u32 = 9;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const CREATE: u32 = 35;
const FALLOCATE: u32 = 43;

/// Under what the message is to be carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// The umask of what it makes.
    pub(super) umask: u32,
    /// It takes set-user-ID and set-group-ID bits away.
    pub(super) clears_set_ids: bool,
}

/// Changes the message. One that is too short for its fields is refused by who reads it next.
pub(super) fn amend(request: &mut [u8], opcode: u32) -> Terms {
    let flags = match opcode {
        OPEN | CREATE => Some(0),
        READ | WRITE => Some(32),
        _ => None,
    };
    if let Some(at) = flags {
        take(request, BODY + at, DIRECT);
    }
    let umask = match opcode {
        MKDIR => Some(4),
        MKNOD | CREATE => Some(8),
        _ => None,
    };
    let umask = umask.map_or(0, |at| take(request, BODY + at, u32::MAX));
    Terms {
        umask: umask & 0o777,
        clears_set_ids: opcode == FALLOCATE,
    }
}

/// Takes these bits out of a field; those that it had.
fn take(request: &mut [u8], at: usize, bits: u32) -> u32 {
    let value = number(request, at).unwrap_or_default();
    if let Some(field) = request.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = (value & !bits).to_le_bytes();
    }
    value & bits
}
