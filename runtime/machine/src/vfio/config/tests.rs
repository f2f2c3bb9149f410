//! Which bytes the guest has of a device, for devices that are well and for any bytes.

use std::ops::Range;

use proptest::prelude::*;

use super::{ConfigTable, LEAST_BYTES, MOST_BYTES, MSI_CONTROL, MSIX_CONTROL};
use crate::vfio::fake::Space;

/// MSI-X with 2048 vectors in BAR 2 and PBA in BAR 4; wide MSI with masks and 32 vectors.
const MSIX: &[u8] = &[0xff, 0x07, 0x02, 0x10, 0, 0, 0x04, 0x20, 0, 0];
const MSI: &[u8] = &[0x8a, 0x01];

fn space() -> Space {
    Space::new()
        .put(0x0e, &[0x80])
        .put(0x10, &[0x04, 0, 0, 0xfe])
        .put(0x30, &[1, 0, 0xfe, 0])
        .capabilities(&[
            (0x40, 0x01, &[3, 0]),
            (0x50, 0x14, &[9, 9]),
            (0x60, 0x11, MSIX),
            (0x70, 0x05, MSI),
            (0x90, 0x10, &[2, 0]),
        ])
        .extended(&[
            (0x100, 0x01, 7),
            (0x140, 0x10, 7),
            (0x180, 0x15, 7),
            (0x200, 0x18, 7),
        ])
}

fn table(space: &Space) -> ConfigTable {
    ConfigTable::new(&space.0).unwrap()
}

/// As a guest reads it, with the device's own bytes filled in.
fn seen(table: &ConfigTable, device: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; device.len()];
    for run in table.read(0, &mut bytes) {
        bytes[run.clone()].copy_from_slice(&device[run]);
    }
    bytes
}

fn only(run: Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(run).collect()
}

#[test]
fn header_is_of_a_single_function_without_pin_rom_or_bars() {
    let space = space();
    let seen = seen(&table(&space), &space.0);
    assert_eq!(seen[0..4], space.0[0..4]);
    assert_eq!(seen[0x0e], 0);
    assert_eq!(seen[0x10..0x28], [0; 24]);
    assert_eq!(seen[0x30..0x34], [0; 4]);
    assert_eq!(seen[0x3d], 0);
}

#[test]
fn capability_that_moves_bars_is_not_in_the_list() {
    let space = space();
    let seen = seen(&table(&space), &space.0);
    let mut ids = Vec::new();
    let mut at = usize::from(seen[0x34]);
    while at != 0 {
        ids.push(seen[at]);
        at = usize::from(seen[at + 1]);
    }
    assert_eq!(ids, [0x01, 0x11, 0x05, 0x10]);
    assert_eq!(seen[0x50..0x60], [0; 16]);
}

#[test]
fn extended_capabilities_of_virtual_functions_and_resizing_are_empty() {
    let space = space();
    let seen = seen(&table(&space), &space.0);
    let mut ids = Vec::new();
    let mut at = 0x100;
    while at != 0 {
        let header = u32::from_le_bytes(seen[at..at + 4].try_into().unwrap());
        ids.push(header & 0xffff);
        at = usize::try_from(header >> 20).unwrap();
    }
    assert_eq!(ids, [0x01, 0, 0, 0x18]);
    assert_eq!(seen[0x144..0x180], [0; 0x3c]);
    assert_eq!(seen[0x104], 7);
}

#[test]
fn msix_is_offered_with_as_many_vectors_as_there_are_descriptors_for() {
    let table = table(&space());
    let msix = table.msix.unwrap();
    assert_eq!((msix.vectors, msix.entries), (256, 2048));
    assert_eq!((msix.table, msix.pending), ((2, 0x1000), (4, 0x2000)));
    assert_eq!(table.word(0x60 + MSIX_CONTROL), 255);
}

#[test]
fn msi_message_is_kept_and_the_device_does_not_hear_of_it() {
    let mut table = table(&space());
    let msi = table.msi.unwrap();
    assert_eq!((msi.vectors, msi.wide, msi.masks), (32, true, true));
    assert_eq!(table.write(0x74, &[0x03, 0, 0xe0, 0xfe]), []);
    assert_eq!(table.write(0x7c, &[0x41, 0x40]), []);
    assert_eq!(table.write(0x72, &[0x51, 0xff]), []);
    assert_eq!(table.double_word(0x74), 0xfee0_0000);
    assert_eq!(table.word(msi.data()), 0x4041);
    assert_eq!(table.word(0x70 + MSI_CONTROL), 0x018a | 0x51);
}

#[test]
fn writes_reach_the_device_where_the_bytes_are_its_own() {
    let mut table = table(&space());
    // Command is ours, status is the device's.
    assert_eq!(table.write(0x04, &[0xff; 4]), only(2..4));
    assert_eq!(table.word(0x04), 0b101_0100_0110);
    assert_eq!(table.write(0x98, &[1, 2]), only(0..2));
    assert_eq!(table.write(0x00, &[1, 2, 3, 4]), []);
}

#[test]
fn bridge_and_broken_space_are_refused() {
    let bridge = Space::new().put(0x0e, &[1]);
    assert!(ConfigTable::new(&bridge.0).unwrap_err().contains("bridge"));
    assert!(ConfigTable::new(&[0; 64]).is_err());
}

/// Bytes that the guest never has of the device: of the header nearly all, of messages all, of what is hidden all but the link.
fn is_guarded(table: &ConfigTable, hidden: &[Range<usize>], at: usize) -> bool {
    let header = at < 0x40 && !(0x06..0x08).contains(&at) && !(0x0c..0x0e).contains(&at);
    let msix = table.msix.is_some_and(|msix| msix.bytes().contains(&at));
    let msi = table.msi.is_some_and(|msi| msi.bytes().contains(&at));
    header || msix || msi || hidden.iter().any(|range| range.contains(&at))
}

proptest! {
    /// A device may say anything, and a guest may read and write anything anywhere.
    #[test]
    fn any_bytes_make_a_table_that_keeps_what_is_dangerous(
        wide in any::<bool>(),
        seed in prop::collection::vec(any::<u8>(), MOST_BYTES),
        ids in prop::collection::vec(0_u16..0x30, 0..12),
        orders in prop::collection::vec((0..MOST_BYTES, any::<[u8; 4]>(), 1..5_usize), 0..40),
    ) {
        let mut device = seed;
        // A chain of extended capabilities, among them those that are hidden, in bytes that say anything.
        let mut hidden = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let start = 0x100 + index * 0x40;
            let next = if index + 1 < ids.len() { start + 0x40 } else { 0 };
            let header = u32::try_from(next).unwrap() << 20 | 1 << 16 | u32::from(*id);
            device[start..start + 4].copy_from_slice(&header.to_le_bytes());
            if [0x0e, 0x0f, 0x10, 0x12, 0x13, 0x15, 0x1b, 0x24].contains(id) {
                let end = if next == 0 { MOST_BYTES } else { next };
                hidden.push(start..end);
            }
        }
        device.truncate(if wide { MOST_BYTES } else { LEAST_BYTES });
        device[0x0e] &= 0x80;
        let mut table = ConfigTable::new(&device).unwrap();
        for (offset, data, length) in orders {
            let start = u16::try_from(offset).unwrap();
            let written = table.write(start, &data[..length]);
            let read = table.read(start, &mut [0; 4][..length]);
            for run in written.into_iter().chain(read) {
                prop_assert!(run.start < run.end && run.end <= length);
                for at in offset + run.start..offset + run.end {
                    prop_assert!(at < device.len());
                    prop_assert!(!is_guarded(&table, &hidden, at), "{at:#x} is the device's own");
                }
            }
        }
        prop_assert_eq!(table.word(0x04) & !0x546, 0, "no I/O ports");
        // The list that the guest walks ends, and stays within the device's.
        let seen = seen(&table, &device);
        let mut at = usize::from(seen[0x34]);
        for _ in 0..64 {
            if at == 0 {
                break;
            }
            prop_assert!((0x40..0x100).contains(&at));
            at = usize::from(seen[at + 1]);
        }
        prop_assert_eq!(at, 0, "the list goes round");
    }
}
