//! Guests of a few instructions: an ELF file with a PVH note, started in 32-bit protected mode with flat segments.

use std::{
    fs::File,
    io::{Seek, Write},
};

/// Where the code is loaded and starts.
const ADDRESS: u32 = 0x20_0000;

/// Waits for interrupts for ever: `hlt; jmp`.
pub(crate) const WAITS: &[u8] = &[0xf4, 0xeb, 0xfd];

/// Turns in a circle without ever leaving the guest by itself: `jmp`.
pub(crate) const SPINS: &[u8] = &[0xeb, 0xfe];

/// A triple fault: an empty interrupt table, then an exception. `lidt [address]; ud2`, and six zero bytes.
pub(crate) const FAULTS: &[u8] = &[
    0x0f, 0x01, 0x1d, 0x09, 0x00, 0x20, 0x00, 0x0f, 0x0b, 0, 0, 0, 0, 0, 0,
];

/// Writes a byte to a port, then waits: `mov dx, port; mov al, value; out dx, al`.
pub(crate) fn out(port: u16, value: u8) -> Vec<u8> {
    let [low, high] = port.to_le_bytes();
    vec![0x66, 0xba, low, high, 0xb0, value, 0xee]
}

/// Writes text to the serial port.
pub(crate) fn print(text: &str) -> Vec<u8> {
    text.bytes().flat_map(|byte| out(0x3f8, byte)).collect()
}

/// S5 through the sleep control register of the ACPI tables.
pub(crate) fn power_off() -> Vec<u8> {
    out(0x600, 0x34)
}

/// The reset register of the ACPI tables.
pub(crate) fn reset() -> Vec<u8> {
    out(0x602, 1)
}

/// pvpanic.
pub(crate) fn panic() -> Vec<u8> {
    out(0x505, 1)
}

/// A kernel file of this code.
pub(crate) fn kernel(code: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&elf(code)).unwrap();
    file.rewind().unwrap();
    file
}

/// ELF header, a note segment and a load segment, the code behind them.
fn elf(code: &[u8]) -> Vec<u8> {
    let note = note();
    let note_offset: u64 = 64 + 2 * 56;
    let code_offset: u64 = 4096;
    let mut file = header();
    file.extend(program_header(
        4,
        note_offset,
        0,
        u64::try_from(note.len()).unwrap(),
    ));
    file.extend(program_header(
        1,
        code_offset,
        ADDRESS.into(),
        u64::try_from(code.len()).unwrap(),
    ));
    file.extend(note);
    file.resize(4096, 0);
    file.extend(code);
    file
}

fn header() -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend(2_u16.to_le_bytes());
    header.extend(62_u16.to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header.extend(u64::from(ADDRESS).to_le_bytes());
    header.extend(64_u64.to_le_bytes());
    header.extend(0_u64.to_le_bytes());
    header.extend(0_u32.to_le_bytes());
    for field in [64_u16, 56, 2, 64, 0, 0] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn program_header(kind: u32, offset: u64, address: u64, length: u64) -> Vec<u8> {
    let mut header = kind.to_le_bytes().to_vec();
    header.extend(7_u32.to_le_bytes());
    for field in [
        offset,
        address,
        address,
        length,
        length,
        if kind == 1 { 4096 } else { 4 },
    ] {
        header.extend(field.to_le_bytes());
    }
    header
}

/// XEN_ELFNOTE_PHYS32_ENTRY.
fn note() -> Vec<u8> {
    let mut note = Vec::new();
    for field in [4_u32, 4, 18] {
        note.extend(field.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend(ADDRESS.to_le_bytes());
    note
}
