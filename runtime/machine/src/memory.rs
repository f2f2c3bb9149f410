//! The guest's memory and where everything lies in its physical address space. Main types: [`GuestRam`], the mapping, and
//! [`Layout`], the map. Neighbours: `boot` and `acpi` put their structures where this file says, `pci` hands out the windows.
//!
//! ```text
//! 0            .. 0xa0000        RAM (boot structures live here)
//!   0x6000                       PVH start info, memory map, module list
//!   0x8000       .. 0xa000       command line
//!   0x9f000      .. 0xa0000      generation id (reserved)
//!   0xe0000      .. 0x100000     ACPI tables (RAM in the mapping, reserved in the guest's map)
//! 0x100000     .. 0xc0000000     RAM below 4 GiB, at most 3 GiB
//! 0xc0000000   .. 0xe0000000     PCI window, 32 bit
//! 0xe0000000   .. 0xf0000000     ECAM, room for 256 buses
//! 0xfec00000                     I/O APIC
//! 0xfee00000                     local APICs, MSI
//! 0xfffbc000   .. 0xfffc0000     pages that KVM wants for real mode on old Intel processors
//! 0x100000000  .. RAM end        the rest of RAM
//! above RAM, 1 GiB aligned       PCI window, 64 bit
//! ```

mod region;

use std::ops::Range;

use thiserror::Error;
use vm_memory::{GuestMemoryMmap, GuestRegionCollectionError, mmap::MmapRegionError};

pub(crate) use region::expect_all_of;

/// All of the guest's RAM, mapped into this process.
pub type GuestRam = GuestMemoryMmap<()>;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Smallest page; every size here is a multiple of it.
pub const PAGE_BYTES: u64 = 4 * KIB;
/// A page of the second level of the page tables.
const HUGE_PAGE_BYTES: u64 = 2 * MIB;

/// Where the PVH start info lies.
pub const START_INFO: u64 = 0x6000;
/// Where the command line lies.
pub const COMMAND_LINE: u64 = 0x8000;
/// Room for the command line, its final zero included. Linux reads 2048 bytes on x86 (COMMAND_LINE_SIZE).
pub const COMMAND_LINE_BYTES: u64 = 0x2000;
/// End of the RAM that the guest may use below the legacy hole.
pub const BASE_RAM_END: u64 = 0x9_f000;
/// The page of the generation id.
pub const GENERATION_ID: u64 = 0x9_f000;
/// Where the ACPI tables lie, the RSDP first.
pub const ACPI_TABLES: Range<u64> = 0xe_0000..0x10_0000;
/// First byte of RAM above the legacy hole; a kernel goes here or higher.
pub const HIGH_RAM: u64 = MIB;
/// RAM that would lie here or above goes above 4 GiB.
pub const LOW_RAM_LIMIT: u64 = 3 * GIB;
/// PCI window for 32-bit BARs.
pub const PCI_WINDOW_32: Range<u64> = 0xc000_0000..0xe000_0000;
/// PCI configuration space, 1 MiB a bus. The range is reserved as a whole; [`Layout::last_bus`] says how much of it the guest hears of.
pub const ECAM: Range<u64> = 0xe000_0000..0xf000_0000;
/// The I/O APIC's registers (in the kernel).
pub const IO_APIC: u64 = 0xfec0_0000;
/// The local APICs' registers (in the kernel), and where MSI writes go.
pub const LOCAL_APIC: u64 = 0xfee0_0000;
/// One page for KVM's identity page table.
pub const IDENTITY_MAP: u64 = 0xfffb_c000;
/// Three pages for KVM's real-mode task state.
pub const TASK_STATE: u64 = 0xfffb_d000;
/// RAM that does not fit below [`LOW_RAM_LIMIT`] goes on here.
pub const RAM_ABOVE: u64 = 4 * GIB;

/// Size of the 64-bit window, without what functions of the host need. Virtio needs a few KiB of it.
const PCI_WINDOW_64_BYTES: u64 = 64 * GIB;
/// Less than this boots no kernel of ours.
const LEAST_RAM_BYTES: u64 = 16 * MIB;
/// More than this would reach the end of what processors with 40 address bits can address.
const MOST_RAM_BYTES: u64 = 768 * GIB;

/// Where RAM and the 64-bit PCI window of one machine lie; the rest is the same for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    low_end: u64,
    above_end: Option<u64>,
    /// What functions of the host need of the 64-bit window, beside our own devices.
    device_bytes: u64,
    last_bus: u8,
}

impl Layout {
    /// The map of a machine with so much RAM.
    ///
    /// # Errors
    /// When the size is no multiple of a page, or more or less than a machine can have.
    pub fn new(ram_bytes: u64) -> Result<Self, MemoryError> {
        if !ram_bytes.is_multiple_of(PAGE_BYTES)
            || !(LEAST_RAM_BYTES..=MOST_RAM_BYTES).contains(&ram_bytes)
        {
            return Err(MemoryError::Size { bytes: ram_bytes });
        }
        let above = ram_bytes.saturating_sub(LOW_RAM_LIMIT);
        Ok(Self {
            low_end: ram_bytes - above,
            above_end: (above > 0).then_some(RAM_ABOVE + above),
            device_bytes: 0,
            last_bus: 0,
        })
    }

    /// The same with so many root ports, each with a bus of its own.
    #[must_use]
    pub fn with_ports(self, count: u8) -> Self {
        Self {
            last_bus: count,
            ..self
        }
    }

    /// Highest bus number in the tables. Linux probes each slot of each bus that MCFG names and that no bridge leads to, an exit each
    /// (pcibios_fixup_peer_bridges): with 256 such buses these were 8192 of 8249 memory reads of a boot.
    #[must_use]
    pub fn last_bus(&self) -> u8 {
        self.last_bus
    }

    /// The same with a 64-bit window that has room for so many bytes of BARs of the host's functions more.
    ///
    /// # Errors
    /// When the window would end beyond what a processor with so many address bits reaches.
    pub fn with_devices(&self, bytes: u64, address_bits: u8) -> Result<Self, MemoryError> {
        let out_of_reach = MemoryError::Window {
            bytes,
            address_bits,
        };
        // Each BAR lies at a multiple of its size, so at most as much again is lost between them.
        let Some(device_bytes) = bytes.checked_mul(2) else {
            return Err(out_of_reach);
        };
        let room = Self {
            device_bytes: 0,
            ..self.clone()
        };
        let start = room.pci_window_64().end;
        let end = start.checked_add(device_bytes);
        let limit = 1_u64.checked_shl(address_bits.into()).unwrap_or(u64::MAX);
        match end {
            Some(end) if bytes == 0 || end <= limit => Ok(Self {
                device_bytes,
                ..room
            }),
            _ => Err(out_of_reach),
        }
    }

    /// RAM from address 0 on, the legacy hole included: it is mapped, but the guest is told to leave it alone.
    #[must_use]
    pub fn low_ram(&self) -> Range<u64> {
        0..self.low_end
    }

    /// RAM above 4 GiB, if there is any.
    #[must_use]
    pub fn ram_above(&self) -> Option<Range<u64>> {
        self.above_end.map(|end| RAM_ABOVE..end)
    }

    /// PCI window for 64-bit BARs.
    #[must_use]
    pub fn pci_window_64(&self) -> Range<u64> {
        let start = self.above_end.unwrap_or(RAM_ABOVE).next_multiple_of(GIB);
        start..start + PCI_WINDOW_64_BYTES + self.device_bytes
    }

    /// Both ranges of RAM.
    pub fn ram(&self) -> impl Iterator<Item = Range<u64>> {
        std::iter::once(self.low_ram()).chain(self.ram_above())
    }
}

/// Maps the guest's RAM: private, anonymous, not reserved, so that a page costs nothing until the guest touches it.
///
/// No madvise for all of it: whether the host backs RAM with huge pages is the host's setting (transparent_hugepage/enabled). `madvise`,
/// the setting of Debian and of most nodes, gives small pages, and with them a pod pays for what it touches and no more. Only what `boot`
/// fills is huge: it is touched anyway.
///
/// # Errors
/// When the host has no address space or no room for it.
pub fn map(layout: &Layout) -> Result<GuestRam, MemoryError> {
    let regions = layout
        .ram()
        .map(|range| {
            let bytes = range.end - range.start;
            let length = usize::try_from(bytes).map_err(|_overflow| MemoryError::Size { bytes })?;
            region::map(range.start, length).map_err(|source| MemoryError::Map { source })
        })
        .collect::<Result<Vec<_>, _>>()?;
    GuestRam::from_regions(regions).map_err(|source| MemoryError::Arrange { source })
}

/// Why there is no guest memory.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// A size that no machine can have.
    #[error(
        "give the machine {bytes} bytes of memory: it must be 16 MiB to 768 GiB in whole pages of 4 KiB"
    )]
    Size {
        /// What was asked for.
        bytes: u64,
    },
    /// The window for devices is out of the processor's reach.
    #[error(
        "make room for {bytes} bytes of devices behind the guest's memory: the processor's {address_bits} address bits don't reach that far; \
         give the VM less memory or fewer devices"
    )]
    Window {
        /// What the devices take.
        bytes: u64,
        /// Of the processor.
        address_bits: u8,
    },
    /// The host refused.
    #[error("map the guest's memory")]
    Map {
        /// The kernel's answer.
        #[source]
        source: MmapRegionError,
    },
    /// Its parts do not make a whole.
    #[error("arrange the guest's memory")]
    Arrange {
        /// What is wrong with them.
        #[source]
        source: GuestRegionCollectionError,
    },
}

#[cfg(test)]
mod tests;
