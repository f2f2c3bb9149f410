//! Reads our own EROFS back into a tree, with every offset checked.
//!
//! Main type: [`Blob`]. `merge` reads layers through it, and so do the fuzz target and the tests.
//! It reads what `write` writes and nothing more: other layouts are refused, not guessed at.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::format::{
    BLOCK_BYTES, BLOCK_SIZE, CHUNK_BASED, CHUNK_BITS_MASK, FLAT_INLINE, FLAT_PLAIN, INODE_SIZE,
    Inode, ROOT_NID, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK,
    SLOT_BYTES, SLOT_SIZE, SuperBlock, TABLE_OFFSET, decode_device, table_end,
};
use super::plan::{IMPLIED, OPAQUE};
use super::{ErofsError, dir, xattr};
use crate::limits;
use crate::tree::{
    Content, Data, DataLayout, Device, Directory, HOLE, Metadata, Node, NodeId, Tree,
};

/// Bytes that can be read at any place: a blob's file, or one in memory.
pub(crate) trait ReadAt {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = start
            .checked_add(buffer.len())
            .and_then(|end| self.get(start..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A blob's superblock and its metadata area.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) superblock: SuperBlock,
    metadata: Vec<u8>,
    /// First block behind the device and the files in its table.
    end: u64,
}

/// Inodes read so far, so that names of one inode stay one node.
struct Reading {
    tree: Tree,
    seen: HashMap<u64, NodeId>,
}

impl Blob {
    /// Reads a blob of `length` bytes whose metadata area goes on to its end.
    pub(crate) fn open(source: &(impl ReadAt + ?Sized), length: u64) -> Result<Self, ErofsError> {
        let mut block = [0; BLOCK_SIZE];
        read(source, &mut block, 0, "superblock")?;
        let superblock = SuperBlock::decode(&block)?;
        let mut table = vec![0; usize::from(superblock.devices) * SLOT_SIZE];
        read(source, &mut table, TABLE_OFFSET as u64, "device table")?;
        let end = table_end(&table).max(superblock.blocks.into());
        let start = u64::from(superblock.meta_block) * BLOCK_BYTES;
        let size = length.checked_sub(start).ok_or(ErofsError::Damaged {
            what: "metadata starts behind the end",
            nid: 0,
        })?;
        // `length` is a real file's, so that this much exists on disk.
        let mut metadata = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        read(source, &mut metadata, start, "metadata")?;
        Ok(Self {
            superblock,
            metadata,
            end,
        })
    }

    /// The whole tree; block numbers are kept as they stand, in segment 0.
    pub(crate) fn tree(&self) -> Result<Tree, ErofsError> {
        let root_nid = u64::from(ROOT_NID);
        let (root, root_inode) = self.node(root_nid)?;
        let Content::Directory(directory) = root.content else {
            return Err(damaged("root is no directory", root_nid));
        };
        let mut reading = Reading {
            tree: Tree::new(root.metadata, directory),
            seen: HashMap::from([(root_nid, Tree::ROOT)]),
        };
        let mut pending = vec![(Tree::ROOT, root_nid, root_inode)];
        while let Some((id, nid, inode)) = pending.pop() {
            let data = self.metadata_data(&inode, nid)?;
            let entries = dir::decode(&data, nid)?;
            for entry in entries
                .into_iter()
                .filter(|entry| !matches!(entry.name, b"." | b".."))
            {
                check_name(entry.name, nid)?;
                let (child, inode) = self.child(&mut reading, entry.nid)?;
                pending.extend(inode.map(|inode| (child, entry.nid, inode)));
                let directory = reading.tree.directory_mut(id);
                let directory =
                    directory.ok_or_else(|| damaged("entries outside a directory", nid))?;
                let twice = directory.entries.insert(entry.name.into(), child);
                let twice = twice.map(|_| damaged("a name twice in one directory", nid));
                twice.map_or(Ok(()), Err)?;
            }
        }
        Ok(reading.tree)
    }

    /// The node behind an entry, and its inode if it is a directory still to be read.
    fn child(
        &self,
        reading: &mut Reading,
        nid: u64,
    ) -> Result<(NodeId, Option<Inode>), ErofsError> {
        if let Some(id) = reading.seen.get(&nid) {
            if reading.tree.directory(*id).is_some() {
                return Err(damaged("a directory with two names", nid));
            }
            return Ok((*id, None));
        }
        let (node, inode) = self.node(nid)?;
        let is_directory = matches!(node.content, Content::Directory(_));
        let id = reading.tree.add(node);
        reading.seen.insert(nid, id);
        Ok((id, is_directory.then_some(inode)))
    }

    fn node(&self, nid: u64) -> Result<(Node, Inode), ErofsError> {
        let inode = self.inode(nid)?;
        let xattr_size = xattr::size_of_count(inode.xattr_count);
        let xattrs = self.bytes(xattr_offset(nid), xattr_size, nid)?;
        let mut xattrs = xattr::decode(xattrs, nid)?;
        let content = match inode.mode & S_IFMT {
            S_IFDIR => Content::Directory(Directory {
                opaque: xattrs.remove(OPAQUE).is_some(),
                implied: xattrs.remove(IMPLIED).is_some(),
                ..Directory::default()
            }),
            S_IFREG => Content::Regular(self.data(&inode, nid)?),
            S_IFLNK if inode.size <= limits::SYMLINK_BYTES as u64 => {
                Content::Symlink(self.metadata_data(&inode, nid)?.into())
            }
            S_IFCHR => match decode_device(inode.location) {
                Device { major: 0, minor: 0 } => Content::Whiteout,
                device => Content::CharDevice(device),
            },
            S_IFBLK => Content::BlockDevice(decode_device(inode.location)),
            S_IFIFO => Content::Fifo,
            S_IFSOCK => Content::Socket,
            _ => return Err(damaged("file type", nid)),
        };
        let metadata = Metadata {
            mode: inode.mode & !S_IFMT,
            uid: inode.uid,
            gid: inode.gid,
            seconds: inode.seconds,
            nanoseconds: inode.nanoseconds,
            xattrs,
        };
        Ok((Node { metadata, content }, inode))
    }

    pub(crate) fn inode(&self, nid: u64) -> Result<Inode, ErofsError> {
        let bytes = self.bytes(nid.saturating_mul(SLOT_BYTES), INODE_SIZE, nid)?;
        let bytes = bytes.first_chunk().ok_or_else(|| damaged("inode", nid))?;
        Inode::decode(bytes, nid)
    }

    fn data(&self, inode: &Inode, nid: u64) -> Result<Data, ErofsError> {
        let layout = match inode.layout {
            FLAT_PLAIN => DataLayout::Flat(inode.location),
            CHUNK_BASED if inode.location & !CHUNK_BITS_MASK == 0 => {
                let block_bits = u8::try_from(inode.location).unwrap_or(u8::MAX);
                let chunk_bytes = BLOCK_BYTES << block_bits;
                let count = usize::try_from(inode.size.div_ceil(chunk_bytes)).unwrap_or(usize::MAX);
                let map = xattr_offset(nid) + xattr::size_of_count(inode.xattr_count) as u64;
                let map = self.bytes(map, count.saturating_mul(4), nid)?;
                let chunks = map
                    .as_chunks()
                    .0
                    .iter()
                    .map(|word| u32::from_le_bytes(*word));
                DataLayout::Chunked {
                    block_bits,
                    chunks: chunks.collect(),
                }
            }
            _ => return Err(damaged("layout of a regular file", nid)),
        };
        let data = Data {
            size: inode.size,
            segment: 0,
            layout,
        };
        self.check_extents(&data, nid)?;
        Ok(data)
    }

    /// No file may reach behind the device.
    fn check_extents(&self, data: &Data, nid: u64) -> Result<(), ErofsError> {
        let fits =
            |block: u32, bytes: u64| u64::from(block) + bytes.div_ceil(BLOCK_BYTES) <= self.end;
        let good = match &data.layout {
            DataLayout::Flat(block) => fits(*block, data.size),
            DataLayout::Chunked { block_bits, chunks } => {
                let chunk_bytes = BLOCK_BYTES << block_bits;
                let mut left = data.size;
                chunks.iter().all(|block| {
                    let bytes = left.min(chunk_bytes);
                    left -= bytes;
                    *block == HOLE || fits(*block, bytes)
                })
            }
        };
        if good {
            Ok(())
        } else {
            Err(damaged("file data behind the end of the device", nid))
        }
    }

    /// Data of a directory or symlink, which lies in the metadata area.
    fn metadata_data(&self, inode: &Inode, nid: u64) -> Result<Vec<u8>, ErofsError> {
        let size = usize::try_from(inode.size).unwrap_or(usize::MAX);
        let inline_size = match inode.layout {
            FLAT_PLAIN => 0,
            FLAT_INLINE => size % BLOCK_SIZE,
            _ => return Err(damaged("layout of a directory or symlink", nid)),
        };
        let mut data = Vec::new();
        if size > inline_size {
            let block = inode.location.checked_sub(self.superblock.meta_block);
            let block = block.ok_or_else(|| damaged("data outside of metadata", nid))?;
            let start = u64::from(block) * BLOCK_BYTES;
            data.extend_from_slice(self.bytes(start, size - inline_size, nid)?);
        }
        let tail = xattr_offset(nid) + xattr::size_of_count(inode.xattr_count) as u64;
        data.extend_from_slice(self.bytes(tail, inline_size, nid)?);
        Ok(data)
    }

    fn bytes(&self, offset: u64, size: usize, nid: u64) -> Result<&[u8], ErofsError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = start
            .checked_add(size)
            .and_then(|end| self.metadata.get(start..end));
        bytes.ok_or_else(|| damaged("inode data behind the end of metadata", nid))
    }
}

/// Reads the bytes of a regular file of at most `limit` bytes whose segments are one device.
pub(crate) fn file_bytes(
    device: &(impl ReadAt + ?Sized),
    data: &Data,
    limit: u64,
) -> Result<Vec<u8>, ErofsError> {
    if data.size > limit {
        return Err(ErofsError::TooLarge {
            what: "file size",
            value: data.size,
            limit,
        });
    }
    let mut bytes = vec![0; usize::try_from(data.size).unwrap_or(usize::MAX)];
    let (chunk_bytes, chunks) = match &data.layout {
        DataLayout::Flat(block) => (bytes.len(), std::slice::from_ref(block)),
        DataLayout::Chunked { block_bits, chunks } => (BLOCK_SIZE << block_bits, chunks.as_slice()),
    };
    for (part, block) in bytes.chunks_mut(chunk_bytes.max(1)).zip(chunks) {
        if *block != HOLE {
            read(device, part, u64::from(*block) * BLOCK_BYTES, "file data")?;
        }
    }
    Ok(bytes)
}

fn xattr_offset(nid: u64) -> u64 {
    nid.saturating_mul(SLOT_BYTES)
        .saturating_add(INODE_SIZE as u64)
}

fn check_name(name: &[u8], nid: u64) -> Result<(), ErofsError> {
    if name.len() > limits::NAME_BYTES || name.contains(&b'/') || name.contains(&0) {
        return Err(damaged("file name", nid));
    }
    Ok(())
}

fn damaged(what: &'static str, nid: u64) -> ErofsError {
    ErofsError::Damaged { what, nid }
}

fn read(
    source: &(impl ReadAt + ?Sized),
    buffer: &mut [u8],
    offset: u64,
    what: &'static str,
) -> Result<(), ErofsError> {
    let result = source.read_exact_at(buffer, offset);
    result.map_err(|source| ErofsError::Read {
        what,
        offset,
        source,
    })
}
