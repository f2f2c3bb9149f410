//! The first message of a session: what guest and server agree on. Main function: [`answer`].

#[cfg(test)]
mod tests;

use std::io;

use fuse_backend_rs::api::filesystem::FsOptions;

use super::number;
use crate::limits::{BACKGROUND_REQUESTS, CONGESTED_REQUESTS, MESSAGE_PAGES};

/// The version of FUSE that fuse-backend-rs speaks.
const MAJOR: u32 = 7;
const MINOR: u32 = 33;

/// The first version whose answer has all the fields that we write.
const LEAST_MINOR: u32 = 28;

/// Bytes of a page, on every machine that we run on.
const PAGE_BYTES: u32 = 4096;

/// Where the message's own fields begin.
const BODY: usize = 40;

/// There are more flags, in a field of their own (FUSE_INIT_EXT).
const MORE_FLAGS: u32 = 1 << 30;

/// Of those: mounts of the guest may map owners (FUSE_ALLOW_IDMAP). Only what makes a file names its user from then on, and that is all that the
/// file system asks for: the guest's kernel checks permissions. fuse-backend-rs has no name for it.
const ALLOW_IDMAP: u32 = 1 << 8;

/// What we want of what the guest offers. Locks are not among it: a pod's containers share the guest's. The umask comes with each
/// message, for a default access control list stands in for it (`amend`).
fn wanted() -> FsOptions {
    FsOptions::ASYNC_READ
        | FsOptions::ATOMIC_O_TRUNC
        | FsOptions::BIG_WRITES
        | FsOptions::DONT_MASK
        | FsOptions::AUTO_INVAL_DATA
        | FsOptions::DO_READDIRPLUS
        | FsOptions::READDIRPLUS_AUTO
        | FsOptions::ASYNC_DIO
        | FsOptions::PARALLEL_DIROPS
        | FsOptions::POSIX_ACL
        | FsOptions::MAX_PAGES
        | FsOptions::HANDLE_KILLPRIV_V2
}

/// The body of the answer. `init` tells the file system what is agreed on.
pub(super) fn answer(
    request: &[u8],
    init: impl FnOnce(FsOptions) -> io::Result<FsOptions>,
) -> io::Result<Vec<u8>> {
    let field = |at| number(request, BODY + at).ok_or(io::ErrorKind::InvalidInput);
    let (major, minor) = (field(0)?, field(4)?);
    if major > MAJOR {
        // The guest comes again with ours.
        return Ok(body(MAJOR, 0, FsOptions::empty(), 0));
    }
    if major < MAJOR || minor < LEAST_MINOR {
        return Err(io::Error::from_raw_os_error(libc::EPROTO));
    }
    let (readahead, offered) = (field(8)?, field(12)?);
    let more = match offered & MORE_FLAGS {
        0 => 0,
        _ => field(16)? & ALLOW_IDMAP,
    };
    let offered = FsOptions::from_bits_truncate(u64::from(offered));
    let agreed = offered & wanted();
    init(agreed)?;
    Ok(body(MAJOR, readahead, agreed, more))
}

/// struct fuse_init_out of include/uapi/linux/fuse.h.
fn body(major: u32, readahead: u32, agreed: FsOptions, more: u32) -> Vec<u8> {
    let pages = u32::from(MESSAGE_PAGES);
    let mut body = Vec::new();
    let readahead = readahead.min(pages * PAGE_BYTES);
    // None of those that we want is above.
    let mut flags = u32::try_from(agreed.bits()).unwrap_or_default();
    if more != 0 {
        flags |= MORE_FLAGS;
    }
    for value in [major, MINOR, readahead, flags] {
        body.extend(value.to_le_bytes());
    }
    body.extend(BACKGROUND_REQUESTS.to_le_bytes());
    body.extend(CONGESTED_REQUESTS.to_le_bytes());
    // Bytes of data in a write, and the granularity of times in nanoseconds.
    for value in [pages * PAGE_BYTES, 1] {
        body.extend(value.to_le_bytes());
    }
    body.extend(MESSAGE_PAGES.to_le_bytes());
    // No mapping alignment.
    body.extend([0, 0]);
    body.extend(more.to_le_bytes());
    // What is unused.
    body.resize(64, 0);
    body
}
