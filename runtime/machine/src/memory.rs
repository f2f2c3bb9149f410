//! The guest's memory and where everything lies in its physical address space. Main type: [`GuestRam`].
//!
//! ```text
//! 0            .. 0xa0000        RAM (boot structures live here)
//! 0x100000     .. 0xc0000000     RAM below 4 GiB, at most 3 GiB
//! 0xc0000000   .. 0xe0000000     PCI window, 32 bit
//! 0xe0000000   .. 0xf0000000     ECAM, 256 buses
//! 0xfec00000                     I/O APIC
//! 0xfee00000                     local APICs, MSI
//! 0x100000000  .. RAM end        the rest of RAM
//! above RAM, 1 GiB aligned       PCI window, 64 bit
//! ```

use vm_memory::GuestMemoryMmap;

/// All of the guest's RAM, mapped into this process.
pub type GuestRam = GuestMemoryMmap<()>;
