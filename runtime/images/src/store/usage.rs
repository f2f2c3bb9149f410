//! What the store takes of its file system.
//!
//! Main type: [`Usage`]. Used by whoever answers CRI's ImageFsInfo.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Store, StoreError, io_error};

/// Disk space and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of disk; holes of files take none.
    pub bytes: u64,
    /// Files and folders.
    pub inodes: u64,
}

pub(super) fn usage(store: &Store) -> Result<Usage, StoreError> {
    let mut usage = Usage::default();
    add(&store.root, &mut usage)?;
    Ok(usage)
}

/// Others write and remove meanwhile: what is gone when we come to it does not count.
fn add(path: &Path, usage: &mut Usage) -> Result<(), StoreError> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io_error("look at", path))?,
    };
    // st_blocks counts 512 bytes whatever the file system's block is (stat(2)).
    usage.bytes += metadata.blocks() * 512;
    usage.inodes += 1;
    if !metadata.is_dir() {
        return Ok(());
    }
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io_error("list", path))?,
    };
    for entry in entries {
        add(&entry.map_err(io_error("list", path))?.path(), usage)?;
    }
    Ok(())
}
