//! Tests of the fixed structures: each goes out and comes back, and damage is seen.

use super::{
    DeviceSlot, Inode, SuperBlock, crc32c, decode_device, encode_device, header_blocks, uuid,
};
use crate::digest::Digest;
use crate::tree::Device;

#[test]
fn crc32c_matches_the_published_check_value() {
    // RFC 3720 B.4 has the inverted form of the same sum.
    assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn superblock_comes_back_and_damage_is_seen() {
    let superblock = SuperBlock {
        meta_block: 7,
        inodes: 9,
        blocks: 12,
        uuid: uuid(&Digest::of(b"x")),
        chunked: true,
        devices: 0,
    };
    let mut block: [u8; 4096] = superblock.encode(&[]).try_into().unwrap();
    assert_eq!(SuperBlock::decode(&block).unwrap(), superblock);
    block[2000] ^= 1;
    let error = SuperBlock::decode(&block).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[test]
fn device_table_follows_the_superblock_over_as_many_blocks_as_it_takes() {
    let check = |devices: u16, blocks: usize| {
        let superblock = SuperBlock {
            meta_block: 1,
            inodes: 9,
            blocks: 12,
            uuid: uuid(&Digest::of(b"x")),
            chunked: false,
            devices,
        };
        let slot = |number: u16| DeviceSlot {
            content: Digest::of(&number.to_le_bytes()),
            first_block: 12 + u32::from(number),
            blocks: 1,
        };
        let table: Vec<_> = (0..devices).map(slot).collect();
        let header = superblock.encode(&table);
        assert_eq!(header.len(), blocks * 4096);
        assert_eq!(header_blocks(table.len()), blocks as u64);
        let first: &[u8; 4096] = header.first_chunk().unwrap();
        assert_eq!(SuperBlock::decode(first).unwrap(), superblock);
        let last = &header[1152 + 128 * (usize::from(devices) - 1)..];
        let last_slot = table.last().unwrap();
        assert_eq!(last[..64], *last_slot.content.hex().as_bytes());
        assert_eq!(last[64..68], 1_u32.to_le_bytes());
        assert_eq!(last[68..72], last_slot.first_block.to_le_bytes());
    };
    check(1, 1);
    check(23, 1);
    check(24, 2);
    check(256, 9);
}

#[test]
fn inode_comes_back() {
    let inode = Inode {
        layout: super::CHUNK_BASED,
        xattr_count: 3,
        mode: super::S_IFREG | 0o4755,
        size: 1 << 40,
        location: 5,
        number: 77,
        uid: u32::MAX - 1,
        gid: 65_536,
        seconds: -5,
        nanoseconds: 999_999_999,
        links: 70_000,
    };
    let bytes = inode.encode().try_into().unwrap();
    assert_eq!(Inode::decode(&bytes, 0).unwrap(), inode);
    assert!(Inode::decode(&[0; 64], 3).is_err());
}

#[test]
fn device_numbers_come_back_or_are_refused() {
    for (major, minor) in [(1, 3), (0xfff, 0xf_ffff), (8, 256), (259, 1023)] {
        let device = Device { major, minor };
        assert_eq!(decode_device(encode_device(device).unwrap()), device);
    }
    assert!(
        encode_device(Device {
            major: 0x1000,
            minor: 0
        })
        .is_err()
    );
    assert!(
        encode_device(Device {
            major: 0,
            minor: 0x10_0000
        })
        .is_err()
    );
}
