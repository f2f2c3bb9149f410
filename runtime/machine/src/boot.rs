//! PVH boot of an uncompressed vmlinux (Xen, docs/misc/pvh.pandoc): kernel, initrd, command line and the start info that names them
//! go into guest memory. Main types: [`Payload`] in, [`Entry`] out. Below: `boot/elf` reads the kernel. `processor` starts at the entry.

mod elf;
mod fill;
mod start_info;

use std::{fs::File, io};

use thiserror::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

use crate::memory::{
    self, ACPI_TABLES, COMMAND_LINE, COMMAND_LINE_BYTES, GuestRam, HIGH_RAM, Layout, PAGE_BYTES,
};

/// What Linux keeps of its command line on x86 (COMMAND_LINE_SIZE), the final zero included. It cuts off the rest silently, so we don't
/// take more.
pub const MOST_COMMAND_LINE_BYTES: usize = 2048;
const _: () = assert!(MOST_COMMAND_LINE_BYTES as u64 <= COMMAND_LINE_BYTES);

/// What to boot. The files are read at explicit offsets: the same descriptors may be in use by other machines.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// An uncompressed vmlinux with a PVH entry.
    pub kernel: &'a File,
    /// The first root file system.
    pub initrd: Option<&'a File>,
    /// The kernel's command line.
    pub command_line: &'a str,
}

/// Where the boot processor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Address of the first instruction.
    pub address: u32,
    /// Address of the start info, for EBX.
    pub start_info: u64,
}

/// Loads everything. The ACPI tables (`acpi`) are expected at the start of their range.
///
/// # Errors
/// When the kernel is not one that we can boot, something does not fit, or a file ends early.
pub fn load(ram: &GuestRam, layout: &Layout, payload: &Payload<'_>) -> Result<Entry, BootError> {
    let usable = HIGH_RAM..layout.low_ram().end;
    let kernel = elf::load(ram, payload.kernel, &usable)?;
    let initrd = payload
        .initrd
        .map(|file| load_initrd(ram, file, kernel.end..usable.end))
        .transpose()?;
    write_command_line(ram, payload.command_line)?;
    let start_info = start_info::write(ram, layout, initrd, ACPI_TABLES.start)
        .map_err(|source| BootError::Write { source })?;
    Ok(Entry {
        address: kernel.entry,
        start_info,
    })
}

/// As high as it goes, out of the way of what the kernel allocates early.
fn load_initrd(
    ram: &GuestRam,
    file: &File,
    room: std::ops::Range<u64>,
) -> Result<std::ops::Range<u64>, BootError> {
    let read = |source| BootError::Read {
        what: "initrd",
        source,
    };
    let bytes = file.metadata().map_err(read)?.len();
    let start = room
        .end
        .checked_sub(bytes)
        .map(|start| start - start % PAGE_BYTES)
        .filter(|start| *start >= room.start)
        .ok_or(BootError::InitrdTooBig {
            bytes,
            room: room.end.saturating_sub(room.start),
        })?;
    memory::expect_all_of(ram, &(start..start + bytes));
    fill::from_file(ram, start, file, 0, bytes).map_err(read)?;
    Ok(start..start + bytes)
}

fn write_command_line(ram: &GuestRam, command_line: &str) -> Result<(), BootError> {
    let mut bytes = command_line.as_bytes().to_vec();
    if bytes.contains(&0) {
        return Err(BootError::CommandLineZero);
    }
    bytes.push(0);
    if bytes.len() > MOST_COMMAND_LINE_BYTES {
        return Err(BootError::CommandLineTooLong {
            bytes: bytes.len() - 1,
        });
    }
    ram.write_slice(&bytes, GuestAddress(COMMAND_LINE))
        .map_err(|source| BootError::Write { source })
}

/// Why the payload can't boot.
#[derive(Debug, Error)]
pub enum BootError {
    /// Something else than a vmlinux for this kind of processor.
    #[error("load the kernel: {what}; it must be an uncompressed x86-64 vmlinux, not a bzImage")]
    NotVmlinux {
        /// What is wrong with it.
        what: &'static str,
    },
    /// No 32-bit entry.
    #[error("load the kernel: it has no PVH entry; build the kernel with CONFIG_PVH")]
    NoPvhNote,
    /// The machine is too small.
    #[error(
        "load the kernel: it needs guest memory from {start:#x} to {end:#x}, and the machine has it from 0x100000 to {ram_end:#x}; give it more memory"
    )]
    KernelTooBig {
        /// First address that it needs.
        start: u64,
        /// Last address that it needs, plus one.
        end: u64,
        /// End of the machine's low RAM.
        ram_end: u64,
    },
    /// The machine is too small.
    #[error(
        "load the initrd: it has {bytes} bytes, and behind the kernel are {room} left; give the machine more memory"
    )]
    InitrdTooBig {
        /// Its size.
        bytes: u64,
        /// What is free.
        room: u64,
    },
    /// Too long for Linux.
    #[error("set the kernel's command line: it has {bytes} bytes, Linux takes at most 2047")]
    CommandLineTooLong {
        /// Its length.
        bytes: usize,
    },
    /// C strings end at a zero.
    #[error("set the kernel's command line: it has a zero byte in it")]
    CommandLineZero,
    /// The file can't be read, or ends before its headers say so.
    #[error("read the {what}")]
    Read {
        /// Kernel or initrd.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Guest memory refused.
    #[error("write the boot structures to guest memory")]
    Write {
        /// What the memory said.
        #[source]
        source: GuestMemoryError,
    },
}

#[cfg(test)]
mod tests;
