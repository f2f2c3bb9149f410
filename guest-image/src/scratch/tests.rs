//! A disk of which little is not zero.

use super::*;

#[test]
fn disk_is_packed_without_its_zeros() {
    let disk = tempfile::tempfile().unwrap();
    disk.set_len(1 << 30).unwrap();
    disk.write_all_at(&[1; 8192], 0).unwrap();
    // Written zeros count no more than holes.
    disk.write_all_at(&[0; 8192], 8192).unwrap();
    disk.write_all_at(&[2], (1 << 29) + 5000).unwrap();
    disk.write_all_at(&[3; 4096], (1 << 30) - 4096).unwrap();
    let mut out = Vec::new();
    pack(&disk, &mut out).unwrap();
    assert_eq!(&out[..8], MAGIC);
    assert_eq!(out[8..16], (1_u64 << 30).to_le_bytes());
    let mut rest = &out[16..];
    let mut extents = Vec::new();
    while !rest.is_empty() {
        let offset = u64::from_le_bytes(rest[..8].try_into().unwrap());
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        extents.push((offset, length));
        rest = &rest[12 + length..];
    }
    let expected = [
        (0, 8192),
        ((1 << 29) + 4096, 4096),
        ((1 << 30) - 4096, 4096),
    ];
    assert_eq!(extents, expected);
    assert_eq!(out[16 + 12 + 8192 + 12 + 904], 2);
}
