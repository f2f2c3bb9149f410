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

/// What we want of what the guest offers. Locks are not among it: a pod's containers share the guest's.
fn wanted() -> FsOptions {
    FsOptions::ASYNC_READ
        | FsOptions::ATOMIC_O_TRUNC
        | FsOptions::BIG_WRITES
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
        return Ok(body(MAJOR, 0, FsOptions::empty()));
    }
    if major < MAJOR || minor < LEAST_MINOR {
        return Err(io::Error::from_raw_os_error(libc::EPROTO));
    }
    let (readahead, offered) = (field(8)?, field(12)?);
    let offered = FsOptions::from_bits_truncate(u64::from(offered));
    let agreed = offered & wanted();
    init(agreed)?;
    Ok(body(MAJOR, readahead, agreed))
}

/// struct fuse_init_out of include/uapi/linux/fuse.h.
fn body(major: u32, readahead: u32, agreed: FsOptions) -> Vec<u8> {
    let pages = u32::from(MESSAGE_PAGES);
    let mut body = Vec::new();
    let readahead = readahead.min(pages * PAGE_BYTES);
    // None of those that we want is above.
    let flags = u32::try_from(agreed.bits()).unwrap_or_default();
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
    // No mapping alignment, no more flags, and what is unused.
    body.resize(64, 0);
    body
}
