//! Every kind of request, with right and wrong shapes.

use super::*;

const ALL: u64 = 1 << VIRTIO_BLK_F_DISCARD | 1 << VIRTIO_BLK_F_WRITE_ZEROES;

fn header(kind: u32, sector: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0xaa; HEADER_BYTES];
    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[8..].copy_from_slice(&sector.to_le_bytes());
    header
}

fn shape(readable: usize, writable: usize) -> Shape {
    Shape { readable, writable }
}

fn check(kind: u32, sector: u64, lengths: (usize, usize), expected: Result<Request, Status>) {
    let shape = shape(lengths.0, lengths.1);
    let decided = decide(header(kind, sector), shape, Access::Writable, ALL);
    assert_eq!(decided, expected, "type {kind} of {lengths:?}");
}

#[test]
fn request_to_read_wants_whole_sectors_and_nothing_sent() {
    let start = 3 * 512;
    check(0, 3, (16, 513), Ok(Request::Read { start, length: 512 }));
    check(
        0,
        3,
        (16, 4097),
        Ok(Request::Read {
            start,
            length: 4096,
        }),
    );
    for lengths in [(16, 1), (16, 512), (16, 514), (17, 513), (528, 513)] {
        check(0, 3, lengths, Err(Status::IoError));
    }
    check(0, u64::MAX, (16, 513), Err(Status::IoError));
    check(0, u64::MAX / 512 + 1, (16, 513), Err(Status::IoError));
}

#[test]
fn request_to_write_sends_whole_sectors_and_wants_nothing() {
    let start = 3 * 512;
    check(1, 3, (528, 1), Ok(Request::Write { start, length: 512 }));
    for lengths in [(16, 1), (17, 1), (527, 1), (528, 2), (528, 513)] {
        check(1, 3, lengths, Err(Status::IoError));
    }
    check(1, u64::MAX, (528, 1), Err(Status::IoError));
}

#[test]
fn request_that_is_unknown_is_unsupported() {
    for kind in [2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 16, 26, u32::MAX, 1 << 31] {
        check(kind, 0, (528, 1), Err(Status::Unsupported));
    }
}

#[test]
fn request_for_identity_has_room_for_it() {
    check(8, 0, (16, 21), Ok(Request::Identify));
    check(8, 0, (16, 100), Ok(Request::Identify));
    check(8, 0, (16, 20), Err(Status::IoError));
    check(8, 0, (17, 21), Err(Status::IoError));
}

#[test]
fn request_to_clear_has_one_to_32_ranges() {
    for (kind, discard) in [(11, true), (13, false)] {
        for ranges in [1, 2, 32] {
            let expected = if discard {
                Request::Discard { ranges }
            } else {
                Request::WriteZeroes { ranges }
            };
            check(kind, 0, (16 + ranges * 16, 1), Ok(expected));
        }
        for lengths in [(16, 1), (31, 1), (33, 1), (16 + 33 * 16, 1), (32, 2)] {
            check(kind, 0, lengths, Err(Status::IoError));
        }
        let not_agreed = decide(header(kind, 0), shape(32, 1), Access::Writable, 0);
        assert_eq!(not_agreed, Err(Status::Unsupported));
        let read_only = decide(header(kind, 0), shape(32, 1), Access::ReadOnly, ALL);
        assert_eq!(read_only, Err(Status::IoError));
    }
}

#[test]
fn request_to_write_a_read_only_disk_fails() {
    let decided = decide(header(1, 0), shape(528, 1), Access::ReadOnly, 0);
    assert_eq!(decided, Err(Status::IoError));
    let decided = decide(header(4, 0), shape(16, 1), Access::ReadOnly, 0);
    assert_eq!(decided, Ok(Request::Flush));
}

fn check_range(
    request: Request,
    fields: (u64, u32, u32),
    expected: Result<(u64, u64, Clearing), Status>,
) {
    let mut bytes = [0; RANGE_BYTES];
    bytes[..8].copy_from_slice(&fields.0.to_le_bytes());
    bytes[8..12].copy_from_slice(&fields.1.to_le_bytes());
    bytes[12..].copy_from_slice(&fields.2.to_le_bytes());
    assert_eq!(range(request, bytes), expected, "{request:?} {fields:?}");
}

#[test]
fn range_says_where_and_how_to_clear() {
    let discard = Request::Discard { ranges: 1 };
    let zeroes = Request::WriteZeroes { ranges: 1 };
    check_range(discard, (8, 16, 0), Ok((4096, 8192, Clearing::Discard)));
    check_range(zeroes, (8, 16, 0), Ok((4096, 8192, Clearing::Zeroes)));
    check_range(zeroes, (8, 16, 1), Ok((4096, 8192, Clearing::Hole)));
    check_range(discard, (8, 16, 1), Err(Status::Unsupported));
    check_range(discard, (8, 16, 2), Err(Status::Unsupported));
    check_range(zeroes, (8, 16, 3), Err(Status::Unsupported));
    check_range(zeroes, (u64::MAX, 16, 0), Err(Status::IoError));
    check_range(
        zeroes,
        (0, limits::DISK_SECTORS_PER_RANGE + 1, 0),
        Err(Status::IoError),
    );
}
