//! Converts a layer in memory and reads it back: the whole path from tar to EROFS under one function.
//!
//! For the fuzz target and property tests. Whatever the bytes are, a layer is refused with a reason,
//! or what is read from its blob, and from a device merged from it alone, is the same tree.

use super::blob::WriteAt;
use super::unpack::Packing;
use super::{LayerError, LayerLimits, LayerStream, convert, printable};
use crate::digest::Digest;
use crate::erofs::ErofsError;
use crate::erofs::read::{self, Blob};
use crate::merge::{LayerBlob, Merged};
use crate::tree::{Content, NodeId, Tree};

/// The outcome for bytes that did not become a layer.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The layer is refused, which is fine.
    #[error("the layer is refused")]
    Refused(#[source] LayerError),
    /// A bug: we cannot read what we wrote.
    #[error("read back what was written")]
    ReadBack(#[source] ErofsError),
    /// A bug: the merged device has another tree than the layer.
    #[error("layer and merged device differ at `{0}`")]
    Differs(String),
}

/// Converts the plain tar stream `bytes`, reads the blob, merges it, reads the device, compares.
pub fn check_layer(bytes: &[u8], limits: LayerLimits) -> Result<(), CheckError> {
    let diff_id = Digest::of(bytes);
    let label = Some(Packing::Plain);
    let stream = LayerStream {
        packed: bytes,
        promised: None,
        label,
        diff_id,
    };
    let converted =
        convert(stream, Vec::new(), limits, &mut |_| {}).map_err(CheckError::Refused)?;
    let length = converted.length;
    let blob = converted.blob;
    let layer = tree_of(&blob)?;
    let mut merged = Merged::new();
    merged.add(&layer);
    let mut device = Vec::new();
    let written = merged.write(&[LayerBlob { diff_id, length }], &diff_id, &mut device);
    written.map_err(CheckError::ReadBack)?;
    let metadata_length = device.len() as u64;
    device
        .write_all_at(&blob, metadata_length)
        .map_err(ErofsError::Write)
        .map_err(CheckError::ReadBack)?;
    let tree = Blob::open(&device[..], metadata_length).and_then(|blob| blob.tree());
    let tree = tree.map_err(CheckError::ReadBack)?;
    let sides = [(&layer, &blob[..]), (&tree, &device[..])];
    same(sides, limits.file_bytes)
}

fn tree_of(blob: &[u8]) -> Result<Tree, CheckError> {
    let tree = Blob::open(blob, blob.len() as u64).and_then(|blob| blob.tree());
    tree.map_err(CheckError::ReadBack)
}

/// Compares the tree of a layer with the tree of a device that is merged from it alone.
fn same(sides: [(&Tree, &[u8]); 2], limit: u64) -> Result<(), CheckError> {
    let [(layer, _), (merged, _)] = sides;
    let mut pending = vec![(Vec::new(), Tree::ROOT, Tree::ROOT)];
    while let Some((path, left, right)) = pending.pop() {
        let differs = || CheckError::Differs(printable(&path));
        if layer.node(left).metadata != merged.node(right).metadata {
            return Err(differs());
        }
        let (Some(below), Some(other)) = (layer.directory(left), merged.directory(right)) else {
            same_content(sides, left, right, limit)
                .map_err(CheckError::ReadBack)?
                .then_some(())
                .ok_or_else(differs)?;
            continue;
        };
        let seen = |id: &NodeId| layer.node(*id).content != Content::Whiteout;
        let left_entries = below.entries.iter().filter(|(_, id)| seen(id));
        if left_entries.clone().count() != other.entries.len() {
            return Err(differs());
        }
        for ((name, left), (other_name, right)) in left_entries.zip(&other.entries) {
            if name != other_name {
                return Err(differs());
            }
            pending.push(([&path, &b"/"[..], name].concat(), *left, *right));
        }
    }
    Ok(())
}

fn same_content(
    sides: [(&Tree, &[u8]); 2],
    left: NodeId,
    right: NodeId,
    limit: u64,
) -> Result<bool, ErofsError> {
    let [(layer, blob), (merged, device)] = sides;
    Ok(
        match (&layer.node(left).content, &merged.node(right).content) {
            (Content::Regular(ours), Content::Regular(theirs)) => {
                read::file_bytes(blob, ours, limit)? == read::file_bytes(device, theirs, limit)?
            }
            (ours, theirs) => ours == theirs,
        },
    )
}
