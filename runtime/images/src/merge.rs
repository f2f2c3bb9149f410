//! Stacks the trees of an image's layers into one, and writes it as the metadata of one device.
//!
//! The device is `[merged metadata | a layer's blob | another layer's blob …]` end to end. A file of
//! the merged tree points at the blocks that it has in its layer's blob, moved by where that blob
//! lies, so the guest sees one plain EROFS, the host keeps each layer once, and no file data is
//! copied. A device table says where the blobs lie: by it a host mounts the same metadata with each
//! blob as a device of its own. Main type: [`Merged`]. Rules of stacking: overlayfs and the OCI image
//! spec (layer.md). Above: `store`; below: `tree`, `erofs`.

use std::collections::HashMap;
use std::io::Write;

use crate::digest::Digest;
use crate::erofs::plan::Plan;
use crate::erofs::{BLOCK_BYTES, ErofsError, format, write};
use crate::tree::{Content, DataLayout, Directory, HOLE, Metadata, Node, NodeId, Tree};

/// A layer's blob as a part of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerBlob {
    pub(crate) diff_id: Digest,
    /// A multiple of the block size.
    pub(crate) length: u64,
}

/// A merged tree whose data still counts in layers.
#[derive(Debug)]
pub(crate) struct Merged {
    tree: Tree,
    layers: u16,
}

/// How long the metadata is, and which blobs stand behind it, in order.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) metadata_length: u64,
    pub(crate) segments: Vec<LayerBlob>,
}

impl Merged {
    pub(crate) fn new() -> Self {
        Self {
            tree: Tree::new(Metadata::implied(), Directory::default()),
            layers: 0,
        }
    }

    /// Lays a layer on top of those before.
    pub(crate) fn add(&mut self, layer: &Tree) {
        let segment = self.layers;
        self.layers += 1;
        // Names of one file stay names of one file, within a layer.
        let mut copies = HashMap::new();
        let mut pending = vec![(Tree::ROOT, Tree::ROOT)];
        while let Some((here, from)) = pending.pop() {
            let Some(upper) = layer.directory(from) else {
                continue;
            };
            self.describe(here, layer.node(from), upper);
            for (name, child) in &upper.entries {
                let node = layer.node(*child);
                let mut copy = || self.tree.add(in_segment(node, segment));
                let id = match &node.content {
                    Content::Whiteout => None,
                    Content::Directory(_) => Some(self.directory_at(here, name)),
                    _ => Some(*copies.entry(*child).or_insert_with(&mut copy)),
                };
                self.set(here, name, id);
                let directory = id.filter(|id| self.tree.directory(*id).is_some());
                pending.extend(directory.map(|id| (id, *child)));
            }
        }
    }

    /// Writes the metadata for a device with these layers, bottom first as they were added.
    pub(crate) fn write(
        mut self,
        layers: &[LayerBlob],
        content: &Digest,
        out: &mut impl Write,
    ) -> Result<Device, ErofsError> {
        let plan = Plan::of(&self.tree)?;
        let segments = self.renumber_segments(&plan, layers)?;
        let header_blocks = format::header_blocks(segments.len());
        let metadata_blocks = header_blocks + plan.blocks();
        let mut next = metadata_blocks;
        let mut parts = Vec::with_capacity(segments.len());
        for segment in &segments {
            let blocks = segment.length.div_ceil(BLOCK_BYTES);
            parts.push((segment.diff_id, next, blocks));
            next += blocks;
        }
        let place = (header_blocks, metadata_blocks);
        let header = write::superblock(&plan, place, &parts, content)?;
        out.write_all(&header).map_err(ErofsError::Write)?;
        let starts: Vec<u64> = parts.iter().map(|(_, first, _)| *first).collect();
        let addresses = write::Addresses {
            metadata: header_blocks,
            segments: &starts,
        };
        write::metadata(&self.tree, &plan, &addresses, out)?;
        Ok(Device {
            metadata_length: metadata_blocks * BLOCK_BYTES,
            segments,
        })
    }

    /// The directory of this name: the one below if there is one, else a new one in place of what is.
    fn directory_at(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        let there = self.entries_mut(parent).get(name).copied();
        if let Some(id) = there.filter(|id| self.tree.directory(*id).is_some()) {
            return id;
        }
        let content = Content::Directory(Directory::default());
        let id = self.tree.add(Node {
            metadata: Metadata::implied(),
            content,
        });
        self.entries_mut(parent).insert(name.into(), id);
        id
    }

    /// Takes over what the upper layer says about the directory itself.
    fn describe(&mut self, id: NodeId, upper: &Node, directory: &Directory) {
        if directory.opaque {
            self.entries_mut(id).clear();
        }
        if !directory.implied {
            self.tree.node_mut(id).metadata = upper.metadata.clone();
        }
    }

    fn set(&mut self, parent: NodeId, name: &[u8], id: Option<NodeId>) {
        let entries = self.entries_mut(parent);
        match id {
            Some(id) => entries.insert(name.into(), id),
            None => entries.remove(name),
        };
    }

    fn entries_mut(&mut self, id: NodeId) -> &mut std::collections::BTreeMap<Box<[u8]>, NodeId> {
        // Only directories' ids are ever passed in.
        &mut self
            .tree
            .directory_mut(id)
            .expect("the node is a directory")
            .entries
    }

    /// Numbers segments by blobs in use: layers without data that is still seen are left out, and
    /// equal layers are one.
    fn renumber_segments(
        &mut self,
        plan: &Plan,
        layers: &[LayerBlob],
    ) -> Result<Vec<LayerBlob>, ErofsError> {
        let mut segments: Vec<LayerBlob> = Vec::new();
        let mut numbers = HashMap::new();
        for id in &plan.order {
            let Content::Regular(data) = &mut self.tree.node_mut(*id).content else {
                continue;
            };
            let has_blocks = match &data.layout {
                DataLayout::Flat(_) => data.size > 0,
                DataLayout::Chunked { chunks, .. } => chunks.iter().any(|block| *block != HOLE),
            };
            if !has_blocks {
                continue;
            }
            let missing = ErofsError::Damaged {
                what: "data of no layer",
                nid: 0,
            };
            let blob = *layers.get(usize::from(data.segment)).ok_or(missing)?;
            let number = *numbers.entry(blob.diff_id).or_insert_with(|| {
                segments.push(blob);
                segments.len() - 1
            });
            data.segment = u16::try_from(number).unwrap_or(u16::MAX);
        }
        Ok(segments)
    }
}

fn in_segment(node: &Node, segment: u16) -> Node {
    let mut node = node.clone();
    if let Content::Regular(data) = &mut node.content {
        data.segment = segment;
    }
    node
}

/// What identifies a stack of layers, and the form of what is made of it: their diff_ids, bottom first.
pub(crate) fn stack_digest(diff_ids: impl Iterator<Item = Digest>) -> Digest {
    let mut text = String::from("cofferdam merged layers with a device table\n");
    for diff_id in diff_ids {
        text.push_str(&diff_id.to_string());
        text.push('\n');
    }
    Digest::of(text.as_bytes())
}

#[cfg(test)]
mod tests;
