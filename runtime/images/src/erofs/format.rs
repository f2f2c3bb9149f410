//! The fixed structures of EROFS: superblock, extended inode, device numbers, checksum.
//!
//! Byte offsets are those of `struct erofs_super_block` and `struct erofs_inode_extended` in the
//! kernel's `fs/erofs/erofs_fs.h`. Used by `write` and `read`.

use super::ErofsError;
use crate::digest::Digest;
use crate::tree::Device;

pub(crate) const BLOCK_BITS: u8 = 12;
pub(crate) const BLOCK_SIZE: usize = 1 << BLOCK_BITS;
/// The same as a file offset.
pub(crate) const BLOCK_BYTES: u64 = 1 << BLOCK_BITS;
/// An inode's number is its place in the metadata area in slots of this size.
pub(crate) const SLOT_BYTES: u64 = 32;
pub(crate) const INODE_SIZE: usize = 64;
/// The root goes first; slots 0 and 1 stay empty so that no file has the inode number 0.
pub(crate) const ROOT_NID: u16 = 2;

const MAGIC: u32 = 0xE0F5_E1E2;
const SUPER_OFFSET: usize = 1024;
const COMPAT_SB_CHKSUM: u32 = 0x1;
const COMPAT_MTIME: u32 = 0x2;
const INCOMPAT_CHUNKED_FILE: u32 = 0x4;
const INCOMPAT_DEVICE_TABLE: u32 = 0x8;
/// `struct erofs_deviceslot`, and the unit in which the superblock says where the table is.
pub(crate) const SLOT_SIZE: usize = 128;
/// The table stands right behind the superblock: what is far from it could not be named in 16 bits.
pub(crate) const TABLE_OFFSET: usize = SUPER_OFFSET + 128;
const TABLE_SLOT: u16 = 9;

pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFSOCK: u16 = 0o140_000;
pub(crate) const S_IFLNK: u16 = 0o120_000;
pub(crate) const S_IFREG: u16 = 0o100_000;
pub(crate) const S_IFBLK: u16 = 0o060_000;
pub(crate) const S_IFDIR: u16 = 0o040_000;
pub(crate) const S_IFCHR: u16 = 0o020_000;
pub(crate) const S_IFIFO: u16 = 0o010_000;

/// How an inode's data is laid out (`enum` in `erofs_fs.h`).
pub(crate) const FLAT_PLAIN: u16 = 0;
pub(crate) const FLAT_INLINE: u16 = 2;
pub(crate) const CHUNK_BASED: u16 = 4;
/// `i_format`: bit 0 is the extended inode, the layout stands above it.
const EXTENDED: u16 = 1;
/// Low bits of a chunk-based inode's `i_u`: chunk size in blocks as a power of two.
pub(crate) const CHUNK_BITS_MASK: u32 = 0x1f;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SuperBlock {
    /// First block of the metadata area; inode numbers count from here.
    pub(crate) meta_block: u32,
    pub(crate) inodes: u64,
    /// Blocks of the device, without those of the files in its table.
    pub(crate) blocks: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) chunked: bool,
    /// Files in its table.
    pub(crate) devices: u16,
}

/// A file behind the metadata (`struct erofs_deviceslot`). Where the kernel is given each file as a device of its own, it finds a block by
/// where the file would be on one device; where it is given one device, it passes the table by (Linux 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceSlot {
    pub(crate) content: Digest,
    pub(crate) first_block: u32,
    pub(crate) blocks: u32,
}

/// First block behind all files of a table.
pub(crate) fn table_end(table: &[u8]) -> u64 {
    let slots = table.as_chunks::<SLOT_SIZE>().0.iter();
    let ends = slots.map(|slot| {
        let fields = View(slot);
        u64::from(fields.u32(68)) + u64::from(fields.u32(64))
    });
    ends.max().unwrap_or_default()
}

/// Blocks that superblock and table take.
pub(crate) fn header_blocks(devices: usize) -> u64 {
    (TABLE_OFFSET + devices * SLOT_SIZE).div_ceil(BLOCK_SIZE) as u64
}

impl SuperBlock {
    /// The first blocks of the device: superblock and table.
    pub(crate) fn encode(&self, table: &[DeviceSlot]) -> Vec<u8> {
        let size = TABLE_OFFSET + table.len() * SLOT_SIZE;
        let mut fields = Fields::new(size.next_multiple_of(BLOCK_SIZE));
        fields.u32(SUPER_OFFSET, MAGIC);
        fields.u32(SUPER_OFFSET + 8, COMPAT_SB_CHKSUM | COMPAT_MTIME);
        fields.bytes(SUPER_OFFSET + 12, &[BLOCK_BITS]);
        fields.u16(SUPER_OFFSET + 14, ROOT_NID);
        fields.u64(SUPER_OFFSET + 16, self.inodes);
        fields.u32(SUPER_OFFSET + 36, self.blocks);
        fields.u32(SUPER_OFFSET + 40, self.meta_block);
        fields.bytes(SUPER_OFFSET + 48, &self.uuid);
        let mut incompat = 0;
        if self.chunked {
            incompat |= INCOMPAT_CHUNKED_FILE;
        }
        if !table.is_empty() {
            incompat |= INCOMPAT_DEVICE_TABLE;
            fields.u16(SUPER_OFFSET + 86, self.devices);
            fields.u16(SUPER_OFFSET + 88, TABLE_SLOT);
        }
        fields.u32(SUPER_OFFSET + 80, incompat);
        for (number, slot) in table.iter().enumerate() {
            let at = TABLE_OFFSET + number * SLOT_SIZE;
            fields.bytes(at, slot.content.hex().as_bytes());
            fields.u32(at + 64, slot.blocks);
            fields.u32(at + 68, slot.first_block);
        }
        // The kernel sums up the rest of the superblock's block, no more.
        let sum = crc32c(&fields.0[SUPER_OFFSET..BLOCK_SIZE]);
        fields.u32(SUPER_OFFSET + 4, sum);
        fields.0
    }

    /// Bytes of the device, without the files in its table.
    pub(crate) fn blocks_bytes(&self) -> u64 {
        u64::from(self.blocks) * BLOCK_BYTES
    }

    pub(crate) fn decode(block: &[u8; BLOCK_SIZE]) -> Result<Self, ErofsError> {
        let damaged = |what| ErofsError::Damaged { what, nid: 0 };
        let fields = View(block);
        if fields.u32(SUPER_OFFSET) != MAGIC {
            return Err(damaged("no erofs superblock"));
        }
        let mut copy = *block;
        copy[SUPER_OFFSET + 4..SUPER_OFFSET + 8].fill(0);
        if crc32c(&copy[SUPER_OFFSET..]) != fields.u32(SUPER_OFFSET + 4) {
            return Err(damaged("superblock checksum differs"));
        }
        if block[SUPER_OFFSET + 12] != BLOCK_BITS || fields.u16(SUPER_OFFSET + 14) != ROOT_NID {
            return Err(damaged("not written by this program"));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&block[SUPER_OFFSET + 48..SUPER_OFFSET + 64]);
        let incompat = fields.u32(SUPER_OFFSET + 80);
        let devices = match incompat & INCOMPAT_DEVICE_TABLE {
            0 => 0,
            _ => fields.u16(SUPER_OFFSET + 86),
        };
        Ok(Self {
            meta_block: fields.u32(SUPER_OFFSET + 40),
            inodes: fields.u64(SUPER_OFFSET + 16),
            blocks: fields.u32(SUPER_OFFSET + 36),
            uuid,
            chunked: incompat & INCOMPAT_CHUNKED_FILE != 0,
            devices,
        })
    }
}

/// A UUID that follows from the content alone (version 8 of RFC 9562).
pub(crate) fn uuid(content: &Digest) -> [u8; 16] {
    let mut seed = b"cofferdam erofs uuid ".to_vec();
    seed.extend_from_slice(content.as_bytes());
    let digest = Digest::of(&seed);
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest.as_bytes()[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// `struct erofs_inode_extended`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) layout: u16,
    /// Size of the attributes in the units of `i_xattr_icount`.
    pub(crate) xattr_count: u16,
    /// File type and permissions.
    pub(crate) mode: u16,
    pub(crate) size: u64,
    /// First block, device number or chunk format, by layout and type.
    pub(crate) location: u32,
    pub(crate) number: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    pub(crate) links: u32,
}

impl Inode {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::new(INODE_SIZE);
        fields.u16(0, self.layout << 1 | EXTENDED);
        fields.u16(2, self.xattr_count);
        fields.u16(4, self.mode);
        fields.u64(8, self.size);
        fields.u32(16, self.location);
        fields.u32(20, self.number);
        fields.u32(24, self.uid);
        fields.u32(28, self.gid);
        fields.bytes(32, &self.seconds.to_le_bytes());
        fields.u32(40, self.nanoseconds);
        fields.u32(44, self.links);
        fields.0
    }

    pub(crate) fn decode(bytes: &[u8; INODE_SIZE], nid: u64) -> Result<Self, ErofsError> {
        let fields = View(bytes);
        let format = fields.u16(0);
        if format & EXTENDED == 0 || format >> 4 != 0 {
            return Err(ErofsError::Damaged {
                what: "inode format",
                nid,
            });
        }
        Ok(Self {
            layout: format >> 1,
            xattr_count: fields.u16(2),
            mode: fields.u16(4),
            size: fields.u64(8),
            location: fields.u32(16),
            number: fields.u32(20),
            uid: fields.u32(24),
            gid: fields.u32(28),
            seconds: fields.u64(32).cast_signed(),
            nanoseconds: fields.u32(40),
            links: fields.u32(44),
        })
    }
}

/// `new_encode_dev` of the kernel: 12 bits of major, 20 of minor.
pub(crate) fn encode_device(device: Device) -> Result<u32, ErofsError> {
    let too_large = |what, value: u32, limit| ErofsError::TooLarge {
        what,
        value: value.into(),
        limit,
    };
    if device.major > 0xfff {
        return Err(too_large("major device number", device.major, 0xfff));
    }
    if device.minor > 0xf_ffff {
        return Err(too_large("minor device number", device.minor, 0xf_ffff));
    }
    Ok(device.minor & 0xff | device.major << 8 | (device.minor & !0xff) << 12)
}

pub(crate) fn decode_device(number: u32) -> Device {
    Device {
        major: number >> 8 & 0xfff,
        minor: number & 0xff | number >> 12 & 0xf_ff00,
    }
}

/// CRC-32C as `crc32c(~0, …)` of the kernel: all ones to start with, not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ REVERSED_POLYNOMIAL
            } else {
                sum >> 1
            }
        })
    })
}

/// A structure being filled in; the offsets are constants of this file and lie inside.
struct Fields(Vec<u8>);

impl Fields {
    fn new(size: usize) -> Self {
        Self(vec![0; size])
    }

    fn bytes(&mut self, at: usize, value: &[u8]) {
        self.0[at..at + value.len()].copy_from_slice(value);
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.bytes(at, &value.to_le_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.bytes(at, &value.to_le_bytes());
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.bytes(at, &value.to_le_bytes());
    }
}

/// A structure being read; the array's length holds every offset that this file uses.
struct View<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> View<'_, N> {
    fn array<const M: usize>(&self, at: usize) -> [u8; M] {
        let mut array = [0; M];
        array.copy_from_slice(&self.0[at..at + M]);
        array
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}

#[cfg(test)]
mod tests;
