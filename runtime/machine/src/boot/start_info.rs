//! The start info of PVH (Xen, xen/include/public/arch-x86/hvm/start_info.h): where command line, initrd, ACPI tables and RAM are.
//! Written by [`load`](super::load), found by the kernel through EBX.

use std::ops::Range;

use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

use crate::memory::{
    ACPI_TABLES, BASE_RAM_END, COMMAND_LINE, ECAM, GENERATION_ID, GuestRam, HIGH_RAM, Layout,
    PAGE_BYTES, START_INFO,
};

const MAGIC: u32 = 0x336e_c578;
const VERSION: u32 = 1;
const HEAD_BYTES: u64 = 56;
const MODULE_BYTES: u64 = 32;

/// Kinds of the memory map, as in the BIOS call E820.
const RAM: u32 = 1;
const RESERVED: u32 = 2;
const ACPI: u32 = 3;

/// Writes the start info and returns its address.
pub(super) fn write(
    ram: &GuestRam,
    layout: &Layout,
    initrd: Option<Range<u64>>,
    acpi: u64,
) -> Result<u64, GuestMemoryError> {
    let map = memory_map(layout);
    let modules_at = START_INFO + HEAD_BYTES;
    let map_at = modules_at + MODULE_BYTES;
    let mut bytes = Vec::new();
    let mut word = |value: u32| bytes.extend_from_slice(&value.to_le_bytes());
    word(MAGIC);
    word(VERSION);
    word(0); // Flags.
    word(initrd.iter().len().try_into().unwrap_or(0));
    let entries = u32::try_from(map.len()).unwrap_or(0);
    let mut long = |value: u64| bytes.extend_from_slice(&value.to_le_bytes());
    long(modules_at);
    long(COMMAND_LINE);
    long(acpi);
    long(map_at);
    long(u64::from(entries)); // Number of entries, then a reserved word.
    let module = initrd.unwrap_or_default();
    long(module.start);
    long(module.end - module.start);
    long(0); // The module has no command line.
    long(0);
    for (range, kind) in map {
        long(range.start);
        long(range.end - range.start);
        long(u64::from(kind)); // Kind, then a reserved word.
    }
    ram.write_slice(&bytes, GuestAddress(START_INFO))?;
    Ok(START_INFO)
}

fn memory_map(layout: &Layout) -> Vec<(Range<u64>, u32)> {
    let mut map = vec![
        (0..BASE_RAM_END, RAM),
        (GENERATION_ID..GENERATION_ID + PAGE_BYTES, RESERVED),
        (ACPI_TABLES, ACPI),
        (HIGH_RAM..layout.low_ram().end, RAM),
        (ECAM, RESERVED),
    ];
    map.extend(layout.ram_above().map(|range| (range, RAM)));
    map
}
