//! The ACPI tables, of a hardware-reduced platform (ACPI 6.5, 4.1): what the guest can't find out by itself and nothing else. Main
//! function: [`write()`]. `boot` tells the guest where they are; `board`, `generation` and `interrupt` are what they describe.

mod dsdt;

use acpi_tables::{
    Aml,
    fadt::{FADTBuilder, Flags},
    gas::{AccessSize, AddressSpace, GAS},
    madt::{EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic},
    mcfg::MCFG,
    rsdp::Rsdp,
    sdt::Sdt,
    xsdt::XSDT,
};
use thiserror::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

use crate::{
    board::{RESET_PORT, RESET_VALUE, SLEEP_CONTROL_PORT, SLEEP_STATUS_PORT},
    memory::{ACPI_TABLES, ECAM, GuestRam, IO_APIC, LOCAL_APIC, Layout},
};

const OEM: [u8; 6] = *b"CFFRDM";
const OEM_TABLE: [u8; 8] = *b"COFFRDAM";
const OEM_REVISION: u32 = 1;

/// IAPC_BOOT_ARCH (ACPI 6.5, table 5.11): no VGA to probe, no real-time clock in CMOS. No bit says that there is an 8042.
const NO_VGA: u16 = 1 << 2;
const NO_CMOS_CLOCK: u16 = 1 << 5;

/// Tables start at multiples of this.
const ALIGNMENT: usize = 16;

/// Writes the tables for a machine with so many processors to guest memory, the RSDP at the start of [`ACPI_TABLES`].
///
/// # Errors
/// When the tables are too big for their range.
pub fn write(ram: &GuestRam, layout: &Layout, processors: u32) -> Result<(), AcpiError> {
    let bytes = build(layout, processors)?;
    ram.write_slice(&bytes, GuestAddress(ACPI_TABLES.start))
        .map_err(|source| AcpiError::Write { source })
}

/// All tables as they lie in memory from the start of [`ACPI_TABLES`] on.
fn build(layout: &Layout, processors: u32) -> Result<Vec<u8>, AcpiError> {
    let mut tables = Tables {
        bytes: vec![0; Rsdp::len()],
    };
    let mut definition = Sdt::new(*b"DSDT", 36, 2, OEM, OEM_TABLE, OEM_REVISION);
    definition.append_slice(&dsdt::aml(layout));
    let definition = tables.place(&definition);
    let mut root = XSDT::new(OEM, OEM_TABLE, OEM_REVISION);
    root.add_entry(tables.place(&fixed(definition)));
    root.add_entry(tables.place(&interrupts(processors)?));
    root.add_entry(tables.place(&configuration(layout)));
    let root = tables.place(&root);
    let mut pointer = Vec::new();
    Rsdp::new(OEM, root).to_aml_bytes(&mut pointer);
    tables.bytes[..pointer.len()].copy_from_slice(&pointer);
    let room = ACPI_TABLES.end - ACPI_TABLES.start;
    if u64::try_from(tables.bytes.len()).is_ok_and(|length| length <= room) {
        Ok(tables.bytes)
    } else {
        Err(AcpiError::TooBig {
            bytes: tables.bytes.len(),
        })
    }
}

#[derive(Debug)]
struct Tables {
    bytes: Vec<u8>,
}

impl Tables {
    /// Puts a table behind the others and returns its address.
    fn place(&mut self, table: &dyn Aml) -> u64 {
        let start = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(start, 0);
        table.to_aml_bytes(&mut self.bytes);
        ACPI_TABLES.start + u64::try_from(start).expect("usize has 64 bits on x86-64")
    }
}

/// FADT: where to sleep and reset, and what is not there.
fn fixed(definition: u64) -> impl Aml {
    let mut table = FADTBuilder::new(OEM, OEM_TABLE, OEM_REVISION)
        .dsdt_64(definition)
        .flag(Flags::Wbinvd)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .flag(Flags::ResetRegSup)
        .flag(Flags::HwReducedAcpi);
    table.iapc_boot_arch = (NO_VGA | NO_CMOS_CLOCK).into();
    table.reset_reg = byte_port(RESET_PORT);
    table.reset_value = RESET_VALUE;
    table.sleep_control_reg = byte_port(SLEEP_CONTROL_PORT);
    table.sleep_status_reg = byte_port(SLEEP_STATUS_PORT);
    table.hypervisor_vendor_identity = u64::from_le_bytes(*b"COFFRDAM").into();
    table.finalize()
}

fn byte_port(port: u16) -> GAS {
    GAS::new(
        AddressSpace::SystemIo,
        8,
        0,
        AccessSize::ByteAccess,
        port.into(),
    )
}

/// MADT: all processors that may ever come online, as present; the kernel's `maxcpus=` says how many start.
fn interrupts(processors: u32) -> Result<MADT, AcpiError> {
    let address = u32::try_from(LOCAL_APIC).expect("the local APIC is below 4 GiB");
    let mut table = MADT::new(
        OEM,
        OEM_TABLE,
        OEM_REVISION,
        LocalInterruptController::Address(address),
    );
    for id in 0..processors {
        let id = u8::try_from(id).map_err(|_overflow| AcpiError::Processors { processors })?;
        table.add_structure(ProcessorLocalApic::new(id, id, EnabledStatus::Enabled));
    }
    let address = u32::try_from(IO_APIC).expect("the I/O APIC is below 4 GiB");
    table.add_structure(IoApic::new(0, address, 0));
    Ok(table)
}

/// MCFG: where configuration space is.
fn configuration(layout: &Layout) -> MCFG {
    let mut table = MCFG::new(OEM, OEM_TABLE, OEM_REVISION);
    table.add_ecam(ECAM.start, 0, 0, layout.last_bus());
    table
}

/// Why there are no tables.
#[derive(Debug, Error)]
pub enum AcpiError {
    /// Processors of 8-bit ids only.
    #[error("describe {processors} processors: at most 255 have an id of 8 bits")]
    Processors {
        /// What was asked for.
        processors: u32,
    },
    /// They don't fit.
    #[error("place the ACPI tables: {bytes} bytes are more than 128 KiB")]
    TooBig {
        /// Their size.
        bytes: usize,
    },
    /// Guest memory refused.
    #[error("write the ACPI tables to guest memory")]
    Write {
        /// What the memory said.
        #[source]
        source: GuestMemoryError,
    },
}

#[cfg(test)]
mod tests;
