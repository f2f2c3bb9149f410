//! From checked entries to a layer's tree: paths, links, whiteouts.
//!
//! Main type: [`Builder`]. A path is followed inside the layer's own tree only: a symlink on the way
//! is resolved with that tree's root as `/`, and a missing folder is made as *implied*. So no entry
//! can name anything outside, whatever it says. OCI's whiteout names become nodes and flags at the
//! end, for they hide lower layers only, never their own (OCI image spec, layer.md, "Whiteouts").

use std::collections::VecDeque;

use super::{EntryProblem, LayerError, LayerLimits, printable};
use crate::limits;
use crate::tree::{Content, Directory, Metadata, Node, NodeId, Tree};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS's own files, in layers of old; they mean nothing to anyone else.
const AUFS: &[u8] = b".wh..wh.";

pub(crate) struct Builder {
    tree: Tree,
    whiteouts: Vec<(NodeId, Box<[u8]>)>,
    limits: LayerLimits,
    metadata_bytes: u64,
}

/// What an entry's path means.
#[derive(Debug)]
pub(crate) enum Slot {
    Root,
    /// A name that is free, or has a directory in it.
    Name {
        parent: NodeId,
        name: Box<[u8]>,
        directory: Option<NodeId>,
    },
    /// A whiteout, noted; the entry itself is nothing.
    Done,
}

impl Builder {
    pub(crate) fn new(limits: LayerLimits) -> Self {
        let tree = Tree::new(Metadata::implied(), Directory::implied());
        Self {
            tree,
            whiteouts: Vec::new(),
            limits,
            metadata_bytes: 0,
        }
    }

    /// Finds the place for an entry before its data is read.
    pub(crate) fn place(&mut self, path: &[u8]) -> Result<Slot, LayerError> {
        let refuse = |problem| LayerError::Entry {
            path: printable(path),
            problem,
        };
        let mut parts = parts(path).map_err(refuse)?;
        let Some(name) = parts.pop() else {
            return Ok(Slot::Root);
        };
        if parts
            .iter()
            .chain([&name])
            .any(|part| part.starts_with(AUFS) && *part != OPAQUE)
        {
            return Ok(Slot::Done);
        }
        if parts.iter().any(|part| part.starts_with(WHITEOUT)) {
            return Err(refuse(EntryProblem::BadWhiteout));
        }
        self.charge(name.len() as u64 + 64)?;
        let parent = self.walk(&parts, path, Missing::Make)?;
        if name == OPAQUE {
            if let Some(directory) = self.tree.directory_mut(parent) {
                directory.opaque = true;
            }
            return Ok(Slot::Done);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(refuse(EntryProblem::BadWhiteout));
            }
            self.whiteouts.push((parent, hidden.into()));
            return Ok(Slot::Done);
        }
        let there = self.lookup(parent, name);
        let directory = there.filter(|id| self.tree.directory(*id).is_some());
        if there.is_some() && directory.is_none() {
            return Err(refuse(EntryProblem::Duplicate));
        }
        Ok(Slot::Name {
            parent,
            name: name.into(),
            directory,
        })
    }

    /// Puts a node into its place. Only a directory may come twice; the later word holds.
    pub(crate) fn insert(&mut self, slot: Slot, node: Node, path: &[u8]) -> Result<(), LayerError> {
        let refuse = |problem| LayerError::Entry {
            path: printable(path),
            problem,
        };
        self.charge(crate::erofs::xattr::size(&node.metadata.xattrs) as u64)?;
        let is_directory = matches!(node.content, Content::Directory(_));
        let (parent, name, known) = match slot {
            Slot::Done => return Ok(()),
            Slot::Root if is_directory => return self.describe(Tree::ROOT, node.metadata),
            Slot::Root => return Err(refuse(EntryProblem::Root)),
            Slot::Name {
                parent,
                name,
                directory,
            } => (parent, name, directory),
        };
        match known {
            Some(id) if is_directory => self.describe(id, node.metadata),
            Some(_) => Err(refuse(EntryProblem::Duplicate)),
            None => {
                if let Content::Symlink(target) = &node.content {
                    self.charge(target.len() as u64)?;
                }
                let id = self.add(node)?;
                self.name(parent, name, id);
                Ok(())
            }
        }
    }

    /// Gives an earlier entry a second name.
    pub(crate) fn link(
        &mut self,
        slot: Slot,
        target: &[u8],
        path: &[u8],
    ) -> Result<(), LayerError> {
        let refuse = |problem| LayerError::Entry {
            path: printable(path),
            problem,
        };
        let (parent, name) = match slot {
            Slot::Done => return Ok(()),
            Slot::Root => return Err(refuse(EntryProblem::Root)),
            Slot::Name {
                directory: Some(_), ..
            } => return Err(refuse(EntryProblem::Duplicate)),
            Slot::Name { parent, name, .. } => (parent, name),
        };
        if target.starts_with(b"/") {
            return Err(refuse(EntryProblem::AbsoluteLink(printable(target))));
        }
        let mut target_parts = parts(target).map_err(refuse)?;
        let missing = || refuse(EntryProblem::MissingTarget(printable(target)));
        let last = target_parts.pop().ok_or_else(missing)?;
        let folder = self.walk(&target_parts, path, Missing::Refuse(target))?;
        let id = self.lookup(folder, last).ok_or_else(missing)?;
        if self.tree.directory(id).is_some() {
            return Err(refuse(EntryProblem::DirectoryLink(printable(target))));
        }
        self.name(parent, name, id);
        Ok(())
    }

    /// The finished tree, with whiteouts in the form that overlayfs knows.
    pub(crate) fn finish(mut self) -> Result<Tree, LayerError> {
        for (parent, name) in std::mem::take(&mut self.whiteouts) {
            match self.lookup(parent, &name) {
                None => {
                    let metadata = Metadata::default();
                    let id = self.add(Node {
                        metadata,
                        content: Content::Whiteout,
                    })?;
                    self.name(parent, name, id);
                }
                // The lower directory is gone and this layer has made a new one.
                Some(id) => self
                    .tree
                    .directory_mut(id)
                    .into_iter()
                    .for_each(|directory| {
                        directory.opaque = true;
                        directory.implied = false;
                    }),
            }
        }
        Ok(self.tree)
    }

    fn describe(&mut self, id: NodeId, metadata: Metadata) -> Result<(), LayerError> {
        self.tree.node_mut(id).metadata = metadata;
        if let Some(directory) = self.tree.directory_mut(id) {
            directory.implied = false;
        }
        Ok(())
    }

    /// Follows folders and symlinks from the root.
    fn walk(
        &mut self,
        parts: &[&[u8]],
        path: &[u8],
        missing: Missing<'_>,
    ) -> Result<NodeId, LayerError> {
        let refuse = |problem| LayerError::Entry {
            path: printable(path),
            problem,
        };
        let mut way = Way::new(parts);
        while let Some(part) = way.next().map_err(refuse)? {
            let here = way.here();
            let next = match (self.lookup(here, &part), missing) {
                (Some(id), _) => id,
                (None, Missing::Make) => self.imply(here, part)?,
                (None, Missing::Refuse(target)) => {
                    return Err(refuse(EntryProblem::MissingTarget(printable(target))));
                }
            };
            match &self.tree.node(next).content {
                Content::Directory(_) => way.trail.push(next),
                Content::Symlink(target) => way.follow(target).map_err(refuse)?,
                _ => {
                    return Err(refuse(EntryProblem::NotADirectory(
                        self.name_of(here, next),
                    )));
                }
            }
        }
        Ok(way.here())
    }

    fn imply(&mut self, parent: NodeId, name: Box<[u8]>) -> Result<NodeId, LayerError> {
        self.charge(name.len() as u64)?;
        let content = Content::Directory(Directory::implied());
        let id = self.add(Node {
            metadata: Metadata::implied(),
            content,
        })?;
        self.name(parent, name, id);
        Ok(id)
    }

    fn lookup(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        self.tree.directory(parent)?.entries.get(name).copied()
    }

    fn name(&mut self, parent: NodeId, name: Box<[u8]>, id: NodeId) {
        if let Some(directory) = self.tree.directory_mut(parent) {
            directory.entries.insert(name, id);
        }
    }

    fn name_of(&self, parent: NodeId, child: NodeId) -> String {
        let entries = self
            .tree
            .directory(parent)
            .map(|directory| &directory.entries);
        let mut entries = entries.into_iter().flatten();
        entries
            .find(|(_, id)| **id == child)
            .map_or_else(String::new, |(name, _)| printable(name))
    }

    fn add(&mut self, node: Node) -> Result<NodeId, LayerError> {
        if self.tree.count() as u64 >= self.limits.entries {
            return Err(LayerError::TooMuch {
                what: "files and folders",
                limit: self.limits.entries,
            });
        }
        Ok(self.tree.add(node))
    }

    /// Counts what is held in memory.
    fn charge(&mut self, bytes: u64) -> Result<(), LayerError> {
        self.metadata_bytes += bytes;
        if self.metadata_bytes > self.limits.metadata_bytes {
            let limit = self.limits.metadata_bytes;
            return Err(LayerError::TooMuch {
                what: "bytes of names and attributes",
                limit,
            });
        }
        Ok(())
    }
}

/// A path being followed inside the layer, whose root is `/`.
struct Way {
    /// Names still to be looked up.
    ahead: VecDeque<Box<[u8]>>,
    /// Directories from the root to here.
    trail: Vec<NodeId>,
    steps: usize,
    hops: usize,
}

impl Way {
    fn new(parts: &[&[u8]]) -> Self {
        let ahead = parts.iter().map(|part| (*part).into()).collect();
        Self {
            ahead,
            trail: vec![Tree::ROOT],
            steps: 0,
            hops: 0,
        }
    }

    fn here(&self) -> NodeId {
        *self.trail.last().unwrap_or(&Tree::ROOT)
    }

    /// The next name that is not `..`, which only symlink targets have; the root is its own parent.
    fn next(&mut self) -> Result<Option<Box<[u8]>>, EntryProblem> {
        while let Some(part) = self.ahead.pop_front() {
            self.steps += 1;
            if self.trail.len() > limits::PATH_DEPTH || self.steps > limits::PATH_BYTES {
                let limit = limits::PATH_DEPTH;
                return Err(EntryProblem::TooLong {
                    what: "the path in folders",
                    limit,
                });
            }
            match part.as_ref() {
                b".." => self
                    .trail
                    .truncate(self.trail.len().saturating_sub(1).max(1)),
                _ => return Ok(Some(part)),
            }
        }
        Ok(None)
    }

    fn follow(&mut self, target: &[u8]) -> Result<(), EntryProblem> {
        self.hops += 1;
        if self.hops > limits::SYMLINK_HOPS {
            return Err(EntryProblem::SymlinkLoop);
        }
        if target.starts_with(b"/") {
            self.trail.truncate(1);
        }
        let parts = target.split(|byte| *byte == b'/');
        for part in parts.filter(|part| !matches!(*part, b"" | b".")).rev() {
            self.ahead.push_front(part.into());
        }
        Ok(())
    }
}

/// What to do where a folder of a path is not there.
#[derive(Clone, Copy)]
enum Missing<'a> {
    Make,
    /// It should have been, for this hard link target.
    Refuse(&'a [u8]),
}

/// The names of a path; leading slashes and `.` go, as with every tar.
fn parts(path: &[u8]) -> Result<Vec<&[u8]>, EntryProblem> {
    let too_long = |what, limit| EntryProblem::TooLong { what, limit };
    if path.len() > limits::PATH_BYTES {
        return Err(too_long("the path", limits::PATH_BYTES));
    }
    if path.is_empty() || path.contains(&0) {
        return Err(EntryProblem::BadText("the path or link target"));
    }
    let parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."));
    let parts: Vec<_> = parts.collect();
    if parts.contains(&&b".."[..]) {
        return Err(EntryProblem::Climbs);
    }
    if parts.iter().any(|part| part.len() > limits::NAME_BYTES) {
        return Err(too_long("a name", limits::NAME_BYTES));
    }
    Ok(parts)
}
