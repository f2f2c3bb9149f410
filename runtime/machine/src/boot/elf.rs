//! Reads a vmlinux: ELF header, segments, and the note with the PVH entry. Main type: [`Kernel`], what was loaded. All numbers in the
//! file are checked here; the file is the operator's, but it may be the wrong one or half a one.

use std::{fs::File, ops::Range, os::unix::fs::FileExt};

use super::{BootError, fill};
use crate::memory::{self, GuestRam};

const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: u16 = 56;
/// A vmlinux has about five.
const MOST_SEGMENTS: u16 = 64;
/// A vmlinux has less than one KiB of notes.
const MOST_NOTE_BYTES: u64 = 64 << 10;

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const MACHINE_X86_64: u16 = 62;
const LOAD: u32 = 1;
const NOTE: u32 = 4;
/// XEN_ELFNOTE_PHYS32_ENTRY (Linux, include/xen/interface/elfnote.h).
const NOTE_PVH_ENTRY: u32 = 18;
const NOTE_NAME: &[u8] = b"Xen\0";

/// A kernel in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kernel {
    /// 32-bit entry.
    pub(super) entry: u32,
    /// First address behind everything that it uses.
    pub(super) end: u64,
}

#[derive(Debug)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
    memory_bytes: u64,
}

/// Loads the segments to the addresses that they ask for, inside `usable`.
pub(super) fn load(ram: &GuestRam, file: &File, usable: &Range<u64>) -> Result<Kernel, BootError> {
    let segments = segments(file)?;
    let entry = segments
        .iter()
        .filter(|segment| segment.kind == NOTE)
        .find_map(|segment| entry_in(file, segment).transpose())
        .transpose()?
        .ok_or(BootError::NoPvhNote)?;
    let loaded = || segments.iter().filter(|segment| segment.kind == LOAD);
    let mut end = usable.start;
    for segment in loaded() {
        end = end.max(check_place(segment, usable)?);
    }
    let start = loaded().map(|segment| segment.address).min();
    memory::expect_all_of(ram, &(start.unwrap_or(end)..end));
    for segment in loaded() {
        fill::from_file(
            ram,
            segment.address,
            file,
            segment.offset,
            segment.file_bytes,
        )
        .map_err(read)?;
    }
    if !(usable.start..end).contains(&entry.into()) {
        return Err(BootError::NotVmlinux {
            what: "its PVH entry is outside its segments",
        });
    }
    Ok(Kernel { entry, end })
}

/// The end of the segment, if it fits. What the file does not fill stays zero: guest memory is fresh.
fn check_place(segment: &Segment, usable: &Range<u64>) -> Result<u64, BootError> {
    if segment.file_bytes > segment.memory_bytes {
        return Err(BootError::NotVmlinux {
            what: "a segment has more in the file than in memory",
        });
    }
    let end = segment.address.saturating_add(segment.memory_bytes);
    if segment.address < usable.start || end > usable.end {
        return Err(BootError::KernelTooBig {
            start: segment.address,
            end,
            ram_end: usable.end,
        });
    }
    Ok(end)
}

fn segments(file: &File) -> Result<Vec<Segment>, BootError> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(read)?;
    let wrong = |what| Err(BootError::NotVmlinux { what });
    if !header.starts_with(b"\x7fELF") {
        return wrong("it is not an ELF file");
    }
    if header[4] != CLASS_64 || header[5] != LITTLE_ENDIAN || half(&header, 18) != MACHINE_X86_64 {
        return wrong("it is an ELF file for another machine");
    }
    let (offset, size, count) = (long(&header, 32), half(&header, 54), half(&header, 56));
    if size != SEGMENT_BYTES || count == 0 || count > MOST_SEGMENTS {
        return wrong("its program headers are not a kernel's");
    }
    let mut table = vec![0; usize::from(SEGMENT_BYTES) * usize::from(count)];
    file.read_exact_at(&mut table, offset).map_err(read)?;
    Ok(table
        .chunks_exact(usize::from(SEGMENT_BYTES))
        .map(|bytes| Segment {
            kind: word(bytes, 0),
            offset: long(bytes, 8),
            address: long(bytes, 24),
            file_bytes: long(bytes, 32),
            memory_bytes: long(bytes, 40),
        })
        .collect())
}

fn entry_in(file: &File, segment: &Segment) -> Result<Option<u32>, BootError> {
    if segment.file_bytes > MOST_NOTE_BYTES {
        return Err(BootError::NotVmlinux {
            what: "its notes are too long",
        });
    }
    let length = usize::try_from(segment.file_bytes).unwrap_or(usize::MAX);
    let mut notes = vec![0; length];
    file.read_exact_at(&mut notes, segment.offset)
        .map_err(read)?;
    Ok(entry_of(&notes))
}

/// Walks the notes: name size, description size, kind, then name and description, each padded to 4 bytes.
pub(super) fn entry_of(mut notes: &[u8]) -> Option<u32> {
    const HEAD: usize = 12;
    while notes.len() >= HEAD {
        let name_bytes = usize::try_from(word(notes, 0)).ok()?;
        let description_bytes = usize::try_from(word(notes, 4)).ok()?;
        let kind = word(notes, 8);
        let description = HEAD.checked_add(name_bytes.checked_next_multiple_of(4)?)?;
        let next = description.checked_add(description_bytes.checked_next_multiple_of(4)?)?;
        let name = notes.get(HEAD..HEAD + name_bytes)?;
        if kind == NOTE_PVH_ENTRY && name == NOTE_NAME && description_bytes >= 4 {
            return notes
                .get(description..description + 4)
                .map(|bytes| word(bytes, 0));
        }
        notes = notes.get(next..)?;
    }
    None
}

fn read(source: std::io::Error) -> BootError {
    BootError::Read {
        what: "kernel",
        source,
    }
}

/// Little-endian numbers; zero past the end, which no check above lets through.
fn half(bytes: &[u8], at: usize) -> u16 {
    field(bytes, at).map_or(0, u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    field(bytes, at).map_or(0, u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    field(bytes, at).map_or(0, u64::from_le_bytes)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
