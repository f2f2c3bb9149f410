//! ImageFsInfo: what the image store takes on its file system.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use cri::v1::{FilesystemIdentifier, FilesystemUsage, ImageFsInfoResponse, UInt64Value};
use tonic::Status;

use crate::{limits, node::Node, wall_clock, work};

/// What st_blocks counts (stat(2)), in bytes.
const BLOCK_BYTES: u64 = 512;

#[derive(Debug, Default, PartialEq, Eq)]
struct Usage {
    bytes: u64,
    inodes: u64,
}

pub(crate) async fn image_fs_info(node: &Arc<Node>) -> Result<ImageFsInfoResponse, Status> {
    let root: PathBuf = node.store.root().to_owned();
    let mountpoint = root.to_string_lossy().into_owned();
    let usage = work::blocking(move || usage(&root)).await?;
    let usage = usage.map_err(|error| {
        Status::internal(format!("count the image store {mountpoint}: {error}"))
    })?;
    let number = |value| Some(UInt64Value { value });
    Ok(ImageFsInfoResponse {
        image_filesystems: vec![FilesystemUsage {
            timestamp: wall_clock::now_ns(),
            fs_id: Some(FilesystemIdentifier { mountpoint }),
            used_bytes: number(usage.bytes),
            inodes_used: number(usage.inodes),
        }],
        // Writable layers lie in guests' memory.
        container_filesystems: Vec::new(),
    })
}

fn usage(root: &Path) -> io::Result<Usage> {
    let mut usage = Usage::default();
    add(root, limits::STORE_DEPTH, &mut usage)?;
    Ok(usage)
}

fn add(path: &Path, depth: usize, usage: &mut Usage) -> io::Result<()> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        // Removed while we count.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    usage.bytes += about.blocks() * BLOCK_BYTES;
    usage.inodes += 1;
    if !about.is_dir() || depth == 0 {
        return Ok(());
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        add(&entry?.path(), depth - 1, usage)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_what_files_take() {
        let folder = tempfile::tempdir().unwrap();
        let empty = usage(folder.path()).unwrap();
        fs::create_dir(folder.path().join("blobs")).unwrap();
        fs::write(folder.path().join("blobs/one"), vec![1; 100_000]).unwrap();
        let full = usage(folder.path()).unwrap();
        assert_eq!(full.inodes, empty.inodes + 2);
        assert!(
            full.bytes >= empty.bytes + 100_000,
            "{full:?} after {empty:?}"
        );
    }

    #[test]
    fn usage_of_nothing_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let usage = usage(&folder.path().join("gone")).unwrap();
        assert_eq!(usage, Usage::default());
    }
}
