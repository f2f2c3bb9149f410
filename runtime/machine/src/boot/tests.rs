//! Kernels made by hand, and what is refused.

use std::{
    fs::File,
    io::{Read, Seek, Write},
};

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::{BootError, Entry, Payload, elf, load};
use crate::memory::{GuestRam, Layout, map};

const RAM_BYTES: u64 = 32 << 20;
const LOAD: u32 = 1;
const NOTE: u32 = 4;

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Kind, address, bytes in the file, bytes in memory.
type Segment<'a> = (u32, u64, &'a [u8], u64);

fn vmlinux(segments: &[Segment<'_>]) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..6].copy_from_slice(b"\x7fELF\x02\x01");
    header[18..20].copy_from_slice(&62_u16.to_le_bytes());
    header[32..40].copy_from_slice(&64_u64.to_le_bytes());
    header[54..56].copy_from_slice(&56_u16.to_le_bytes());
    let count = u16::try_from(segments.len()).unwrap();
    header[56..58].copy_from_slice(&count.to_le_bytes());
    let mut data = Vec::new();
    let data_at = 64 + 56 * u64::from(count);
    for (kind, address, bytes, memory) in segments {
        let offset = data_at + u64::try_from(data.len()).unwrap();
        let length = u64::try_from(bytes.len()).unwrap();
        header.extend_from_slice(&u64::from(*kind).to_le_bytes());
        for value in [offset, *address, *address, length, *memory, 4096] {
            header.extend_from_slice(&value.to_le_bytes());
        }
        data.extend_from_slice(bytes);
    }
    [header, data].concat()
}

/// A note before the one that counts, as in a real kernel.
fn notes(entry: u32) -> Vec<u8> {
    let note = |name: &[u8], kind: u32, description: &[u8]| {
        let mut bytes = Vec::new();
        for size in [name.len(), description.len()] {
            bytes.extend_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
        }
        bytes.extend_from_slice(&kind.to_le_bytes());
        for part in [name, description] {
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    };
    let version = note(b"Linux\0", 0x101, &[1, 2, 3]);
    [version, note(b"Xen\0", 18, &u64::from(entry).to_le_bytes())].concat()
}

fn good() -> Vec<u8> {
    vmlinux(&[
        (LOAD, 0x100_0000, b"kernel", 0x1000),
        (NOTE, 0, &notes(0x100_0010), 0),
    ])
}

fn boot(kernel: &File, initrd: Option<&File>, line: &str) -> Result<(GuestRam, Entry), BootError> {
    let layout = Layout::new(RAM_BYTES).unwrap();
    let ram = map(&layout).unwrap();
    let payload = Payload {
        kernel,
        initrd,
        command_line: line,
    };
    load(&ram, &layout, &payload).map(|entry| (ram, entry))
}

fn word(ram: &GuestRam, address: u64) -> u32 {
    ram.read_obj(GuestAddress(address)).unwrap()
}

fn long(ram: &GuestRam, address: u64) -> u64 {
    ram.read_obj(GuestAddress(address)).unwrap()
}

#[test]
fn kernel_with_initrd_is_described_to_the_guest() {
    let initrd = file(&[7; 5000]);
    let (ram, entry) = boot(&file(&good()), Some(&initrd), "quiet root=/dev/vda").unwrap();
    assert_eq!(entry.address, 0x100_0010);

    let info = entry.start_info;
    assert_eq!(word(&ram, info), 0x336e_c578);
    assert_eq!([word(&ram, info + 4), word(&ram, info + 12)], [1, 1]);
    let module = long(&ram, info + 16);
    let [start, bytes] = [long(&ram, module), long(&ram, module + 8)];
    assert_eq!([start, bytes], [RAM_BYTES - 0x2000, 5000]);
    let mut loaded = [0; 5000];
    ram.read_slice(&mut loaded, GuestAddress(start)).unwrap();
    assert_eq!(loaded, [7; 5000]);
    let mut line = [0; 20];
    let line_at = long(&ram, info + 24);
    ram.read_slice(&mut line, GuestAddress(line_at)).unwrap();
    assert_eq!(&line, b"quiet root=/dev/vda\0");
    assert_eq!(long(&ram, info + 32), 0xe_0000, "the RSDP");
    let mut kernel = [0; 6];
    ram.read_slice(&mut kernel, GuestAddress(0x100_0000))
        .unwrap();
    assert_eq!(&kernel, b"kernel");
}

#[test]
fn memory_map_names_ram_and_ecam() {
    let (ram, entry) = boot(&file(&good()), None, "").unwrap();
    let info = entry.start_info;
    let (map, count) = (long(&ram, info + 40), word(&ram, info + 48));
    let entries: Vec<_> = (0..u64::from(count))
        .map(|index| map + index * 24)
        .map(|at| (long(&ram, at), long(&ram, at + 8), word(&ram, at + 16)))
        .collect();
    assert_eq!(
        entries,
        [
            (0, 0x9_f000, 1),
            (0x9_f000, 0x1000, 2),
            (0xe_0000, 0x2_0000, 3),
            (0x10_0000, RAM_BYTES - 0x10_0000, 1),
            (0xe000_0000, 0x1000_0000, 2),
        ]
    );
    assert_eq!(word(&ram, info + 12), 0, "no module");
}

#[test]
fn kernel_that_cannot_boot_is_refused_with_the_reason() {
    let note = notes(0x100_0010);
    let mut other_machine = good();
    other_machine[18] = 40;
    let mut segments = good();
    segments[56] = 255;
    for (name, kernel, expect) in [
        ("bzImage", b"MZ\0\0".repeat(100), "not an ELF file"),
        ("empty", Vec::new(), "read the kernel"),
        ("arm", other_machine, "for another machine"),
        ("headers", segments, "program headers"),
        (
            "no note",
            vmlinux(&[(LOAD, 0x100_0000, b"x", 1)]),
            "CONFIG_PVH",
        ),
        (
            "too big",
            vmlinux(&[(LOAD, 0x100_0000, b"x", 1 << 30), (NOTE, 0, &note, 0)]),
            "give it more memory",
        ),
        (
            "too low",
            vmlinux(&[(LOAD, 0x9_0000, b"x", 1), (NOTE, 0, &note, 0)]),
            "from 0x90000",
        ),
        (
            "no end",
            vmlinux(&[(LOAD, u64::MAX - 1, b"x", 9), (NOTE, 0, &note, 0)]),
            "give it more memory",
        ),
        (
            "file over memory",
            vmlinux(&[(LOAD, 0x100_0000, b"xx", 1), (NOTE, 0, &note, 0)]),
            "more in the file than in memory",
        ),
        (
            "entry outside",
            vmlinux(&[
                (LOAD, 0x100_0000, b"x", 8),
                (NOTE, 0, &notes(0x200_0000), 0),
            ]),
            "outside its segments",
        ),
    ] {
        let error = boot(&file(&kernel), None, "").unwrap_err();
        assert!(error.to_string().contains(expect), "{name}: {error}");
    }
}

#[test]
fn files_that_end_early_are_refused() {
    let kernel = vmlinux(&[
        (NOTE, 0, &notes(0x100_0010), 0),
        (LOAD, 0x100_0000, &[1; 9000], 9000),
    ]);
    for length in [10, 64, 100, 400, 9000] {
        let error = boot(&file(&kernel[..length]), None, "").unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let end = source.downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof, "{length}");
    }
}

#[test]
fn initrd_and_command_line_have_limits() {
    let kernel = file(&good());
    let big = tempfile::tempfile().unwrap();
    big.set_len(17 << 20).unwrap();
    let error = boot(&kernel, Some(&big), "").unwrap_err();
    assert!(matches!(error, BootError::InitrdTooBig { .. }), "{error}");
    boot(&kernel, None, &"x".repeat(2047)).unwrap();
    let error = boot(&kernel, None, &"x".repeat(2048)).unwrap_err();
    assert!(matches!(
        error,
        BootError::CommandLineTooLong { bytes: 2048 }
    ));
    let error = boot(&kernel, None, "a\0b").unwrap_err();
    assert!(matches!(error, BootError::CommandLineZero));
}

#[test]
fn loading_leaves_the_position_of_the_descriptors_alone() {
    let mut kernel = file(&good());
    kernel.rewind().unwrap();
    boot(&kernel, None, "").unwrap();
    let mut magic = [0; 4];
    kernel.read_exact(&mut magic).unwrap();
    assert_eq!(&magic, b"\x7fELF");
}

proptest! {
    #[test]
    fn notes_of_any_bytes_are_walked(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        elf::entry_of(&bytes);
    }

    #[test]
    fn kernels_of_any_bytes_are_loaded_or_refused(
        changes in prop::collection::vec((0_usize..300, any::<u8>()), 1..8),
    ) {
        let mut kernel = good();
        for (at, byte) in changes {
            if let Some(place) = kernel.get_mut(at) {
                *place = byte;
            }
        }
        boot(&file(&kernel), None, "").ok();
    }
}
