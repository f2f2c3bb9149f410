//! ImageFsInfo: what the image store and the pods' scratch disks take on their file system.

use std::sync::Arc;

use cri::v1::{FilesystemIdentifier, FilesystemUsage, ImageFsInfoResponse, UInt64Value};
use pod::scratch_usage;
use tonic::Status;

use crate::{failure, node::Node, wall_clock, work};

pub(crate) async fn image_fs_info(node: &Arc<Node>) -> Result<ImageFsInfoResponse, Status> {
    let mountpoint = node.store.root().to_string_lossy().into_owned();
    let store = Arc::clone(&node.store);
    let scratch = node.settings.scratch.clone();
    let (usage, disks) = work::blocking(move || {
        let disks = scratch.map_or(Ok((0, 0)), |scratch| scratch_usage(&scratch.folder));
        (store.usage(), disks)
    })
    .await?;
    let usage = usage.map_err(|error| failure::store(&error))?;
    let (disk_bytes, disk_files) = disks.map_err(|error| {
        Status::internal(format!(
            "count what scratch disks take on the host: {error}"
        ))
    })?;
    let number = |value| Some(UInt64Value { value });
    Ok(ImageFsInfoResponse {
        image_filesystems: vec![FilesystemUsage {
            timestamp: wall_clock::now_ns(),
            fs_id: Some(FilesystemIdentifier { mountpoint }),
            used_bytes: number(usage.bytes.saturating_add(disk_bytes)),
            inodes_used: number(usage.inodes.saturating_add(disk_files)),
        }],
        // Both are below one folder, so there is one file system.
        container_filesystems: Vec::new(),
    })
}
