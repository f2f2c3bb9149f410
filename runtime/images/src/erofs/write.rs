//! Writes a tree's metadata by a plan: inodes, attributes, directories, symlinks, chunk maps.
//!
//! Main functions: [`metadata`] and [`superblock`]. Bytes go out in order, so that any `Write` will do.

use std::io::Write;

use super::format::{
    BLOCK_BYTES, CHUNK_BASED, DeviceSlot, FLAT_INLINE, FLAT_PLAIN, Inode, S_IFBLK, S_IFCHR,
    S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, SLOT_BYTES, SuperBlock, encode_device, uuid,
};
use super::plan::{Place, Plan, with_marks};
use super::{ErofsError, dir, xattr};
use crate::digest::Digest;
use crate::tree::{Content, Data, DataLayout, HOLE, NodeId, Tree};

/// Where a metadata area stands on its device, and where each segment of file data starts.
#[derive(Debug)]
pub(crate) struct Addresses<'a> {
    /// First block of the metadata area.
    pub(crate) metadata: u64,
    /// First block of each segment.
    pub(crate) segments: &'a [u64],
}

/// A part of a device that is a file of its own on the host: its content, its first block and how many it has.
pub(crate) type Part = (Digest, u64, u64);

/// The first blocks of a device of `blocks` blocks, behind which `parts` stand; its UUID follows from `content`.
pub(crate) fn superblock(
    plan: &Plan,
    (metadata_block, blocks): (u64, u64),
    parts: &[Part],
    content: &Digest,
) -> Result<Vec<u8>, ErofsError> {
    let slot = |(content, first, blocks): &Part| {
        Ok(DeviceSlot {
            content: *content,
            first_block: block_number(*first)?,
            blocks: block_number(*blocks)?,
        })
    };
    let table: Vec<DeviceSlot> = parts.iter().map(slot).collect::<Result<_, ErofsError>>()?;
    let devices = u16::try_from(table.len()).map_err(|_many| ErofsError::TooLarge {
        what: "number of layers",
        value: table.len() as u64,
        limit: u16::MAX.into(),
    })?;
    let superblock = SuperBlock {
        meta_block: block_number(metadata_block)?,
        inodes: plan.order.len() as u64,
        blocks: block_number(blocks)?,
        uuid: uuid(content),
        chunked: plan.chunked,
        devices,
    };
    Ok(superblock.encode(&table))
}

/// Writes the whole metadata area, [`Plan::blocks`] long.
pub(crate) fn metadata(
    tree: &Tree,
    plan: &Plan,
    addresses: &Addresses<'_>,
    out: &mut impl Write,
) -> Result<(), ErofsError> {
    let mut out = Positioned { out, position: 0 };
    for (index, id) in plan.order.iter().enumerate() {
        let place = plan.place(*id)?;
        out.pad_to(place.nid * SLOT_BYTES)?;
        let xattrs = xattr::encode(&with_marks(tree, *id))?;
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let inode = inode(tree, *id, place, addresses)?;
        let inode = Inode {
            number,
            xattr_count: xattr::count(xattrs.len())?,
            ..inode
        };
        out.write(&inode.encode())?;
        out.write(&xattrs)?;
        let data = data_of(tree, plan, *id)?;
        out.write(
            data.get(place.data_size - place.inline_size..)
                .unwrap_or_default(),
        )?;
        if let Content::Regular(data) = &tree.node(*id).content {
            write_chunks(data, addresses, &mut out)?;
        }
    }
    out.pad_to(plan.inode_bytes())?;
    for id in &plan.order {
        let place = plan.place(*id)?;
        if place.data_size > place.inline_size {
            out.pad_to(place.block * BLOCK_BYTES)?;
            let data = data_of(tree, plan, *id)?;
            out.write(
                data.get(..place.data_size - place.inline_size)
                    .unwrap_or_default(),
            )?;
        }
    }
    out.pad_to(plan.blocks() * BLOCK_BYTES)
}

/// The fields of an inode that do not depend on its attributes.
fn inode(
    tree: &Tree,
    id: NodeId,
    place: &Place,
    addresses: &Addresses<'_>,
) -> Result<Inode, ErofsError> {
    let node = tree.node(id);
    let metadata = &node.metadata;
    let in_metadata = || block_number(addresses.metadata + place.block);
    let packed = if place.inline_size > 0 {
        FLAT_INLINE
    } else {
        FLAT_PLAIN
    };
    let (file_type, layout, location, size) = match &node.content {
        Content::Directory(_) => (S_IFDIR, packed, in_metadata()?, place.data_size as u64),
        Content::Symlink(_) => (S_IFLNK, packed, in_metadata()?, place.data_size as u64),
        Content::Regular(data) => {
            let (layout, location) = regular_location(data, addresses)?;
            (S_IFREG, layout, location, data.size)
        }
        Content::CharDevice(device) => (S_IFCHR, FLAT_PLAIN, encode_device(*device)?, 0),
        Content::BlockDevice(device) => (S_IFBLK, FLAT_PLAIN, encode_device(*device)?, 0),
        Content::Fifo => (S_IFIFO, FLAT_PLAIN, 0, 0),
        Content::Socket => (S_IFSOCK, FLAT_PLAIN, 0, 0),
        // What overlayfs takes for a whiteout: a character device 0:0.
        Content::Whiteout => (S_IFCHR, FLAT_PLAIN, 0, 0),
    };
    Ok(Inode {
        layout,
        xattr_count: 0,
        mode: file_type | metadata.mode & 0o7777,
        size,
        location,
        number: 0,
        uid: metadata.uid,
        gid: metadata.gid,
        seconds: metadata.seconds,
        nanoseconds: metadata.nanoseconds,
        links: place.links,
    })
}

fn regular_location(data: &Data, addresses: &Addresses<'_>) -> Result<(u16, u32), ErofsError> {
    match &data.layout {
        DataLayout::Flat(_) if data.size == 0 => Ok((FLAT_PLAIN, 0)),
        DataLayout::Flat(block) => Ok((FLAT_PLAIN, resolve(*block, data.segment, addresses)?)),
        DataLayout::Chunked { block_bits, .. } => Ok((CHUNK_BASED, u32::from(*block_bits))),
    }
}

/// A sparse file's map: one block number a chunk, right behind the attributes.
fn write_chunks<W: Write>(
    data: &Data,
    addresses: &Addresses<'_>,
    out: &mut Positioned<'_, W>,
) -> Result<(), ErofsError> {
    let DataLayout::Chunked { chunks, .. } = &data.layout else {
        return Ok(());
    };
    for block in chunks {
        let address = if *block == HOLE {
            HOLE
        } else {
            resolve(*block, data.segment, addresses)?
        };
        out.write(&address.to_le_bytes())?;
    }
    Ok(())
}

fn resolve(block: u32, segment: u16, addresses: &Addresses<'_>) -> Result<u32, ErofsError> {
    let start = addresses.segments.get(usize::from(segment));
    let start = start.ok_or(ErofsError::Damaged {
        what: "data in no segment",
        nid: 0,
    })?;
    block_number(start + u64::from(block))
}

/// Block numbers have 32 bits, and the highest means a hole.
fn block_number(block: u64) -> Result<u32, ErofsError> {
    let number = u32::try_from(block).ok().filter(|number| *number != HOLE);
    number.ok_or(ErofsError::TooLarge {
        what: "block number",
        value: block,
        limit: u64::from(HOLE) - 1,
    })
}

/// The data that a node keeps in the metadata area.
fn data_of(tree: &Tree, plan: &Plan, id: NodeId) -> Result<Vec<u8>, ErofsError> {
    let directory = match &tree.node(id).content {
        Content::Directory(directory) => directory,
        Content::Symlink(target) => return Ok(target.to_vec()),
        _ => return Ok(Vec::new()),
    };
    let here = plan.place(id)?;
    let mut entries = vec![
        dir::Entry {
            name: b".",
            nid: here.nid,
            file_type: FT_DIR,
        },
        dir::Entry {
            name: b"..",
            nid: plan.place(here.parent)?.nid,
            file_type: FT_DIR,
        },
    ];
    for (name, child) in &directory.entries {
        let file_type = file_type(&tree.node(*child).content);
        entries.push(dir::Entry {
            name,
            nid: plan.place(*child)?.nid,
            file_type,
        });
    }
    entries.sort_unstable_by_key(|entry| entry.name);
    dir::encode(&entries)
}

const FT_DIR: u8 = 2;

/// `FT_*` of the kernel's `include/linux/fs_types.h`.
fn file_type(content: &Content) -> u8 {
    match content {
        Content::Regular(_) => 1,
        Content::Directory(_) => FT_DIR,
        Content::CharDevice(_) | Content::Whiteout => 3,
        Content::BlockDevice(_) => 4,
        Content::Fifo => 5,
        Content::Socket => 6,
        Content::Symlink(_) => 7,
    }
}

/// A writer that knows how far it is.
struct Positioned<'a, W> {
    out: &'a mut W,
    position: u64,
}

impl<W: Write> Positioned<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ErofsError> {
        self.out.write_all(bytes).map_err(ErofsError::Write)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn pad_to(&mut self, position: u64) -> Result<(), ErofsError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.position < position {
            let gap = usize::try_from(position - self.position).unwrap_or(ZEROS.len());
            self.write(&ZEROS[..gap.min(ZEROS.len())])?;
        }
        if self.position == position {
            Ok(())
        } else {
            Err(ErofsError::Damaged {
                what: "plan and inode sizes differ",
                nid: position / SLOT_BYTES,
            })
        }
    }
}
