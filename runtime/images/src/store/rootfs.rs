//! Opens the files of an image's device.
//!
//! Main type: [`Rootfs`]: what `pod` is handed and gives to the monitor.

use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::record::{self, Blob};
use super::{Store, StoreError, io_error, lock};
use crate::digest::Digest;

/// One file of the device that a VM sees; the device is all segments end to end.
#[derive(Debug)]
pub struct Segment {
    /// Open for reading only.
    pub file: File,
    /// Where the file is, for messages.
    pub path: PathBuf,
    /// Its length, a multiple of 4096.
    pub length_bytes: u64,
}

/// A root file system ready for use. While any process holds the first segment's descriptor open,
/// the image cannot be removed.
#[derive(Debug)]
pub struct Rootfs {
    /// What lies end to end on the device.
    pub segments: Vec<Segment>,
    /// Digest of the merged metadata.
    pub digest: Digest,
    /// Bytes of the whole device.
    pub size: u64,
}

pub(super) fn open(store: &Store, id: Digest) -> Result<Rootfs, StoreError> {
    let not_found = || StoreError::NotFound(id.to_string());
    let record = record::read(&store.record(id))?.ok_or_else(not_found)?;
    let metadata = segment(store.merged_blob(record.stack), record.metadata)?;
    // Refused only while a removal holds it, after which nothing is there any more.
    let shared = FlockOperation::NonBlockingLockShared;
    if !lock::try_lock(&metadata.file, &metadata.path, shared)? {
        return Err(not_found());
    }
    // A removal may have come between reading the record and the lock.
    record::read(&store.record(id))?.ok_or_else(not_found)?;
    let mut segments = vec![metadata];
    for blob in &record.segments {
        segments.push(segment(store.blob(blob.digest), *blob)?);
    }
    let size = segments.iter().map(|segment| segment.length_bytes).sum();
    Ok(Rootfs {
        segments,
        digest: record.metadata.digest,
        size,
    })
}

fn segment(path: PathBuf, blob: Blob) -> Result<Segment, StoreError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::open(&path, flags, Mode::empty());
    let file = fd
        .map(File::from)
        .map_err(|errno| io_error("open", &path)(errno.into()))?;
    let metadata = file.metadata().map_err(io_error("look at", &path))?;
    if !metadata.is_file() || metadata.len() != blob.length {
        let problem = format!("it has {} bytes instead of {}", metadata.len(), blob.length);
        return Err(StoreError::Damaged { path, problem });
    }
    Ok(Segment {
        file,
        path,
        length_bytes: blob.length,
    })
}
