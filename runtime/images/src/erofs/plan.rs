//! Where each inode, directory block and long symlink goes, before a byte is written.
//!
//! Main type: [`Plan`]. The metadata area is inodes first (each with its attributes and, where it
//! fits, the tail of its data), then whole blocks of directories and long symlinks. Sizes never
//! depend on where file data lies, so a plan of a merged image is known before its data's addresses.

use super::format::{BLOCK_BYTES, BLOCK_SIZE, INODE_SIZE, ROOT_NID, SLOT_BYTES};
use super::{ErofsError, dir, xattr};
use crate::tree::{Content, DataLayout, Directory, NodeId, Tree, Xattrs};

/// An inode with more than this behind it keeps its data on blocks: fitting large inodes into
/// blocks without crossing wastes more than it saves.
const INLINE_SIZE: usize = 2048;

#[derive(Debug)]
pub(crate) struct Plan {
    /// Every node that is written, parents before children, in the order of their inodes.
    pub(crate) order: Vec<NodeId>,
    places: Vec<Option<Place>>,
    inode_blocks: u64,
    /// Blocks behind the inodes.
    data_blocks: u64,
    pub(crate) chunked: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) nid: u64,
    pub(crate) parent: NodeId,
    pub(crate) links: u32,
    /// Size of the data in the metadata area: of a directory or a symlink, else 0.
    pub(crate) data_size: usize,
    /// How much of its end stands right behind the inode.
    pub(crate) inline_size: usize,
    /// The rest's first block, counted from the start of the metadata area.
    pub(crate) block: u64,
}

impl Plan {
    pub(crate) fn of(tree: &Tree) -> Result<Self, ErofsError> {
        let mut plan = Self {
            order: Vec::with_capacity(tree.count()),
            places: vec![None; tree.count()],
            inode_blocks: 0,
            data_blocks: 0,
            chunked: false,
        };
        plan.walk(tree);
        plan.place_inodes(tree);
        plan.place_data();
        let last_slot = plan.inode_blocks * BLOCK_BYTES / SLOT_BYTES;
        if plan.blocks() > u64::from(u32::MAX) || last_slot > u64::from(u32::MAX) {
            return Err(ErofsError::TooLarge {
                what: "metadata blocks",
                value: plan.blocks(),
                limit: u32::MAX.into(),
            });
        }
        Ok(plan)
    }

    /// Blocks of the whole metadata area.
    pub(crate) fn blocks(&self) -> u64 {
        self.inode_blocks + self.data_blocks
    }

    /// Where the inodes end and blocks of data begin.
    pub(crate) fn inode_bytes(&self) -> u64 {
        self.inode_blocks * BLOCK_BYTES
    }

    /// The place of a node in `order`.
    pub(crate) fn place(&self, id: NodeId) -> Result<&Place, ErofsError> {
        let place = self.places.get(id.index()).and_then(Option::as_ref);
        place.ok_or(ErofsError::Damaged {
            what: "a node without a place",
            nid: 0,
        })
    }

    /// Finds the nodes in use, their parents and how many names each has.
    fn walk(&mut self, tree: &Tree) {
        self.places[Tree::ROOT.index()] = Some(Place::new(Tree::ROOT, 2));
        let mut stack = vec![Tree::ROOT];
        while let Some(id) = stack.pop() {
            self.order.push(id);
            if let Some(directory) = tree.directory(id) {
                self.visit(tree, id, directory, &mut stack);
            }
        }
    }

    /// Counts the names in a directory; what is seen for the first time is still to be walked.
    fn visit(&mut self, tree: &Tree, id: NodeId, directory: &Directory, stack: &mut Vec<NodeId>) {
        let first = stack.len();
        let mut folders: u32 = 0;
        for child in directory.entries.values() {
            let is_directory = tree.directory(*child).is_some();
            folders += u32::from(is_directory);
            if self.places[child.index()].is_none() {
                stack.push(*child);
            }
            // A directory's own `.` is a name of it.
            let own = u32::from(is_directory);
            let place = self.places[child.index()].get_or_insert_with(|| Place::new(id, own));
            place.links = place.links.saturating_add(1);
        }
        stack[first..].reverse();
        if let Some(place) = &mut self.places[id.index()] {
            place.links = place.links.saturating_add(folders);
        }
    }

    fn place_inodes(&mut self, tree: &Tree) {
        let mut offset = u64::from(ROOT_NID) * SLOT_BYTES;
        for id in &self.order {
            let node = tree.node(*id);
            let head = INODE_SIZE + xattr::size(&with_marks(tree, *id));
            let (data_size, chunks_size) = match &node.content {
                Content::Directory(directory) => (directory_size(directory), 0),
                Content::Symlink(target) => (target.len(), 0),
                Content::Regular(data) => match &data.layout {
                    DataLayout::Flat(_) => (0, 0),
                    DataLayout::Chunked { chunks, .. } => {
                        self.chunked = true;
                        (0, chunks.len() * 4)
                    }
                },
                _ => (0, 0),
            };
            let mut inline_size = match node.content {
                // A symlink's data is inline whole or not at all.
                Content::Symlink(_) => data_size,
                _ => data_size % BLOCK_SIZE,
            };
            if head + inline_size > INLINE_SIZE {
                inline_size = 0;
            }
            // Inline data must not cross a block (`erofs_map_blocks_flatmode`), nor does the fixed
            // part of an inode here, which spares readers the stitching.
            let together = if inline_size > 0 {
                head + inline_size
            } else {
                INODE_SIZE
            } as u64;
            if offset % BLOCK_BYTES + together > BLOCK_BYTES {
                offset = offset.next_multiple_of(BLOCK_BYTES);
            }
            if let Some(place) = &mut self.places[id.index()] {
                place.nid = offset / SLOT_BYTES;
                place.data_size = data_size;
                place.inline_size = inline_size;
            }
            offset += (head + inline_size + chunks_size) as u64;
            offset = offset.next_multiple_of(SLOT_BYTES);
        }
        self.inode_blocks = offset.div_ceil(BLOCK_BYTES);
    }

    fn place_data(&mut self) {
        for id in &self.order {
            if let Some(place) = &mut self.places[id.index()] {
                place.block = self.inode_blocks + self.data_blocks;
                let on_blocks = place.data_size - place.inline_size;
                self.data_blocks += on_blocks.div_ceil(BLOCK_SIZE) as u64;
            }
        }
    }
}

impl Place {
    fn new(parent: NodeId, links: u32) -> Self {
        Self {
            nid: 0,
            parent,
            links,
            data_size: 0,
            inline_size: 0,
            block: 0,
        }
    }
}

fn directory_size(directory: &Directory) -> usize {
    let mut entries: Vec<_> = directory.entries.keys().map(|name| name.as_ref()).collect();
    entries.extend([&b"."[..], b".."]);
    entries.sort_unstable();
    let entries: Vec<_> = entries
        .into_iter()
        .map(|name| dir::Entry {
            name,
            nid: 0,
            file_type: 0,
        })
        .collect();
    dir::size(&entries)
}

/// overlayfs's own mark of a directory that hides what lies below it.
pub(crate) const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// Our mark of a directory that no entry of the layer described.
pub(crate) const IMPLIED: &[u8] = b"trusted.cofferdam.implied";

/// The attributes of a node with the marks that carry its flags in a layer's blob.
pub(crate) fn with_marks(tree: &Tree, id: NodeId) -> std::borrow::Cow<'_, Xattrs> {
    let node = tree.node(id);
    let Content::Directory(directory) = &node.content else {
        return std::borrow::Cow::Borrowed(&node.metadata.xattrs);
    };
    let mut xattrs = std::borrow::Cow::Borrowed(&node.metadata.xattrs);
    if directory.opaque {
        xattrs.to_mut().insert(OPAQUE.into(), b"y"[..].into());
    }
    if directory.implied {
        xattrs.to_mut().insert(IMPLIED.into(), b"y"[..].into());
    }
    xattrs
}
