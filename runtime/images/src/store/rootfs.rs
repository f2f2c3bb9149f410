//! Opens the files of an image's device.
//!
//! Main type: [`Rootfs`]: what `pod` is handed and gives to the monitor.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::record::{self, Blob};
use super::{Store, StoreError, io_error, lock};
use crate::digest::Digest;
use crate::erofs::format::{BLOCK_SIZE, SuperBlock};

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

impl Rootfs {
    /// Whether a host can mount it with a loop device for each segment: its metadata has to say where they lie.
    ///
    /// # Errors
    /// When it does not, as that of images stored by a version before it did.
    pub fn check_for_host(&self) -> Result<(), StoreError> {
        let Some((metadata, parts)) = self.segments.split_first() else {
            return Err(StoreError::NotFound(self.digest.to_string()));
        };
        let path = || metadata.path.clone();
        let mut block = [0; BLOCK_SIZE];
        metadata
            .file
            .read_exact_at(&mut block, 0)
            .map_err(io_error("read", &metadata.path))?;
        let superblock = SuperBlock::decode(&block).map_err(|error| StoreError::Damaged {
            path: path(),
            problem: error.to_string(),
        })?;
        if usize::from(superblock.devices) == parts.len() {
            Ok(())
        } else {
            Err(StoreError::NotForHost { path: path() })
        }
    }
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
