//! A file tree in memory: all of a layer or an image but the bytes of its files.
//!
//! Main type: [`Tree`]. `layer` fills it from tar, `erofs` writes it down and reads it back, `merge`
//! stacks several. File bytes stay in blobs; a node says in which blocks of which segment.

use std::collections::BTreeMap;

/// Extended attributes by full name (`user.x`); sorted, so that the same tree gives the same bytes.
pub(crate) type Xattrs = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// Index of a node in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

/// Nodes by id; the root is always there. A node that no directory names is garbage and not written.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) metadata: Metadata,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Metadata {
    /// The twelve permission bits, without the file type.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    /// Below 10⁹, and counts forward also where `seconds` is negative.
    pub(crate) nanoseconds: u32,
    pub(crate) xattrs: Xattrs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Directory(Directory),
    Regular(Data),
    Symlink(Box<[u8]>),
    CharDevice(Device),
    BlockDevice(Device),
    Fifo,
    Socket,
    /// Hides what lower layers have under this name; only in layers, never in a merged image.
    Whiteout,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Directory {
    pub(crate) entries: BTreeMap<Box<[u8]>, NodeId>,
    /// Hides all that lower layers have in here.
    pub(crate) opaque: bool,
    /// No entry of the layer says what this directory is like; a lower layer's word holds.
    pub(crate) implied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// Where the bytes of a regular file lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) size: u64,
    /// Which segment of the device the block numbers count in; always 0 within one layer.
    pub(crate) segment: u16,
    pub(crate) layout: DataLayout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataLayout {
    /// All blocks in a row from this one.
    Flat(u32),
    /// A sparse file: chunks of `1 << block_bits` blocks, each in a row from its own block or a
    /// [`HOLE`].
    Chunked { block_bits: u8, chunks: Vec<u32> },
}

/// A chunk of zeros without blocks: `EROFS_NULL_ADDR`.
pub(crate) const HOLE: u32 = u32::MAX;

impl Tree {
    /// A tree with nothing but a root directory.
    pub(crate) fn new(root: Metadata, directory: Directory) -> Self {
        Self {
            nodes: vec![Node {
                metadata: root,
                content: Content::Directory(directory),
            }],
        }
    }

    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// How many nodes were ever added; ids are below.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        // Ids are made by `add` alone and nodes are never taken away.
        &self.nodes[id.0]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    pub(crate) fn directory(&self, id: NodeId) -> Option<&Directory> {
        match &self.node(id).content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    pub(crate) fn directory_mut(&mut self, id: NodeId) -> Option<&mut Directory> {
        match &mut self.node_mut(id).content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        }
    }
}

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

impl Metadata {
    /// A directory that no tar entry describes: root's, 0755, time 0, as containerd makes it.
    pub(crate) fn implied() -> Self {
        Self {
            mode: 0o755,
            ..Self::default()
        }
    }
}

impl Directory {
    pub(crate) fn implied() -> Self {
        Self {
            implied: true,
            ..Self::default()
        }
    }
}
