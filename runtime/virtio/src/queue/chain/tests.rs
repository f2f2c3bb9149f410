//! Chains as an honest and as a hostile driver writes them: the walk ends, and says what was wrong.

use super::*;
use crate::{
    backend::BackendError,
    queue::Ring,
    test_driver::{Counter, DriverRing, INDIRECT, NEXT, Piece, WRITE, into, memory, out},
};

const BASE: u64 = 0x1_0000;
const DATA: u64 = 0x2_0000;
const TABLE: u64 = 0x3_0000;
const MEMORY_END: u64 = 0x50_0000;

/// Lengths of the readable and the writable part, or what is broken.
fn walk(driver: &DriverRing, memory: &GuestRam) -> Result<(usize, usize), Broken> {
    let (_counter, notifier) = Counter::notifier();
    let mut ring = Ring::over(3, memory.clone(), driver.queue(true), notifier);
    let mut chain = ring.chain();
    match ring.pop(&mut chain) {
        Ok(true) => Ok((chain.readable.len(), chain.writable.len())),
        Ok(false) => panic!("the driver offered a chain"),
        Err(BackendError::Queue { queue: 3, source }) => {
            assert!(chain.readable.is_empty() && chain.writable.is_empty());
            Err(source)
        }
        Err(other) => panic!("another error: {other}"),
    }
}

fn check(pieces: &[Piece], expected: Result<(usize, usize), Broken>) {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, BASE, 8);
    driver.request(pieces);
    assert_eq!(walk(&driver, &memory), expected, "direct {pieces:?}");
    let mut driver = DriverRing::new(&memory, BASE, 8);
    driver.request_indirect(TABLE, pieces);
    assert_eq!(walk(&driver, &memory), expected, "indirect {pieces:?}");
}

/// Writes a chain by hand and offers descriptor 0.
fn check_raw(write: impl FnOnce(&DriverRing), expected: Result<(usize, usize), Broken>) {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, BASE, 8);
    write(&driver);
    driver.offer(0);
    assert_eq!(walk(&driver, &memory), expected);
}

#[test]
fn chain_of_buffers_in_order_is_read() {
    check(&[out(DATA, 16)], Ok((16, 0)));
    check(&[into(DATA, 16)], Ok((0, 16)));
    check(
        &[
            out(DATA, 16),
            out(DATA + 99, 4),
            into(DATA, 512),
            into(DATA, 1),
        ],
        Ok((20, 513)),
    );
    check(&[out(DATA, 1); 8], Ok((8, 0)));
}

#[test]
fn chain_with_empty_buffers_skips_them() {
    check(&[out(DATA, 0), into(DATA, 0)], Ok((0, 0)));
    // An empty one has no place to check.
    check(&[out(u64::MAX, 0), into(DATA, 3)], Ok((0, 3)));
}

#[test]
fn chain_outside_memory_is_broken() {
    for piece in [
        out(MEMORY_END, 1),
        out(MEMORY_END - 1, 2),
        into(MEMORY_END - 1, 2),
        out(u64::MAX, 1),
        out(u64::MAX - 1, 100),
        // Into the hole below 1 MiB, and across it.
        out(0xa_0000, 1),
        into(0x9_ffff, 2),
        into(0x9_f000, 0x10_0000),
    ] {
        check(&[piece], Err(Broken::Memory));
    }
    check(&[out(MEMORY_END - 1, 1)], Ok((1, 0)));
}

#[test]
fn chain_of_giant_length_is_broken() {
    check(&[out(DATA, u32::MAX)], Err(Broken::Memory));
    // Each piece is in memory, the sum is past 32 bits only with the last: the count of bytes is kept, not of pieces.
    check(
        &[out(DATA, 0), out(0x10_0000, u32::MAX), out(DATA, 1)],
        Err(Broken::Memory),
    );
}

#[test]
fn chain_whose_sum_passes_32_bits_is_broken() {
    let memory = GuestRam::from_ranges(&[(GuestAddress(0), 0x8000_0000)]).expect("map lazily");
    let mut driver = DriverRing::new(&memory, BASE, 8);
    driver.request(&[out(0, 0x7fff_ffff), out(0, 0x7fff_ffff), into(0, 2)]);
    assert_eq!(walk(&driver, &memory), Err(Broken::ChainBytes));
    let mut driver = DriverRing::new(&memory, BASE, 8);
    driver.request(&[out(0, 0x7fff_ffff), out(0, 0x7fff_ffff), into(0, 1)]);
    assert_eq!(walk(&driver, &memory), Ok((0xffff_fffe, 1)));
}

#[test]
fn chain_with_readable_after_writable_is_broken() {
    check(&[into(DATA, 1), out(DATA, 1)], Err(Broken::Order));
    check(
        &[out(DATA, 1), into(DATA, 1), out(DATA, 1)],
        Err(Broken::Order),
    );
}

#[test]
fn chain_that_loops_is_broken() {
    check_raw(
        |driver| driver.descriptor(0, (DATA, 1), NEXT, 0),
        Err(Broken::ChainLength),
    );
    check_raw(
        |driver| {
            driver.descriptor(0, (DATA, 1), NEXT, 1);
            driver.descriptor(1, (DATA, 1), NEXT, 0);
        },
        Err(Broken::ChainLength),
    );
    // Empty buffers don't count bytes, but they count.
    check_raw(
        |driver| driver.descriptor(0, (DATA, 0), NEXT, 0),
        Err(Broken::ChainLength),
    );
}

#[test]
fn chain_past_its_table_is_broken() {
    check_raw(
        |driver| driver.descriptor(0, (DATA, 1), NEXT, 8),
        Err(Broken::DescriptorIndex),
    );
    let memory = memory();
    let mut driver = DriverRing::new(&memory, BASE, 8);
    driver.offer(8);
    assert_eq!(walk(&driver, &memory), Err(Broken::DescriptorIndex));
    let mut driver = DriverRing::new(&memory, BASE, 8);
    driver.offer(u16::MAX);
    assert_eq!(walk(&driver, &memory), Err(Broken::DescriptorIndex));
}

#[test]
fn chain_with_malformed_indirect_descriptor_is_broken() {
    for (length, flags) in [
        (0, INDIRECT),
        (15, INDIRECT),
        (17, INDIRECT),
        (32, INDIRECT | NEXT),
        // 257 entries with a queue of at most 256, and more than any queue.
        (257 * 16, INDIRECT),
        (u32::MAX - 15, INDIRECT),
    ] {
        check_raw(
            |driver| driver.descriptor(0, (TABLE, length), flags, 1),
            Err(Broken::Indirect),
        );
    }
    check_raw(
        |driver| driver.descriptor(0, (MEMORY_END, 16), INDIRECT, 0),
        Err(Broken::Memory),
    );
    check_raw(
        |driver| driver.descriptor(0, (u64::MAX - 7, 16), INDIRECT, 0),
        Err(Broken::Memory),
    );
}

#[test]
fn chain_with_nested_indirect_table_is_broken() {
    // The queue's own table as the indirect one: descriptor 0 refers to itself.
    check_raw(
        |driver| driver.descriptor(0, (driver.table, 128), INDIRECT, 0),
        Err(Broken::Indirect),
    );
}

#[test]
fn chain_with_indirect_table_after_direct_buffers_is_read() {
    // Allowed by 2.7.5.3.2: zero or more direct descriptors, then one indirect.
    check_raw(
        |driver| {
            driver.descriptor(0, (DATA, 4), NEXT, 1);
            driver.descriptor(1, (driver.table + 6 * 16, 16), INDIRECT, 0);
            driver.descriptor(6, (DATA, 9), WRITE, 0);
        },
        Ok((4, 9)),
    );
}

#[test]
fn chain_of_a_longer_indirect_table_than_the_chosen_size_is_read() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, BASE, 8);
    driver.request_indirect(TABLE, &[into(DATA, 2); 200]);
    assert_eq!(walk(&driver, &memory), Ok((0, 400)));
}
