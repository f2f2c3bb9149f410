//! ImageFsInfo: what the image store takes on its file system.

use std::sync::Arc;

use cri::v1::{FilesystemIdentifier, FilesystemUsage, ImageFsInfoResponse, UInt64Value};
use tonic::Status;

use crate::{failure, node::Node, wall_clock, work};

pub(crate) async fn image_fs_info(node: &Arc<Node>) -> Result<ImageFsInfoResponse, Status> {
    let mountpoint = node.store.root().to_string_lossy().into_owned();
    let store = Arc::clone(&node.store);
    let usage = work::blocking(move || store.usage()).await?;
    let usage = usage.map_err(|error| failure::store(&error))?;
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
