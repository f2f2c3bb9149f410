//! Configuration space of one function (PCI 3.0, chapter 6): header, capabilities, BARs, and which bits the guest can write. Main
//! type: [`ConfigSpace`]. A function passes its `config_read` and `config_write` on to it.

use std::ops::Range;

use thiserror::Error;

use super::{
    Bar, BarChange,
    bar::{BarError, BarSpec, Bars, Register},
};

/// Offset of the command register.
pub const COMMAND: u16 = 0x04;
const STATUS: u16 = 0x06;
const CACHE_LINE: u16 = 0x0c;
const CAPABILITIES: u16 = 0x34;
const INTERRUPT_LINE: u16 = 0x3c;

/// Command register: answer to memory BARs.
const MEMORY: u16 = 1 << 1;
/// Command register: may read and write the guest's memory.
const BUS_MASTER: u16 = 1 << 2;
/// Command register: INTx off.
const INTX_OFF: u16 = 1 << 10;
/// Status register: there is a list of capabilities.
const HAS_CAPABILITIES: u16 = 1 << 4;

/// Without extended capabilities a function has this much.
const BYTES: usize = 256;
/// Capabilities come behind the header.
const FIRST_CAPABILITY: usize = 0x40;

/// What a function says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Revision id.
    pub revision: u8,
    /// Base class, sub-class, programming interface.
    pub class: [u8; 3],
    /// Subsystem vendor id.
    pub subsystem_vendor: u16,
    /// Subsystem id.
    pub subsystem: u16,
}

/// 256 bytes of configuration space. Bytes past them read as all ones, which says that there are no extended capabilities.
#[derive(Debug)]
pub struct ConfigSpace {
    bytes: [u8; BYTES],
    /// A set bit is one that the guest can write.
    writable: [u8; BYTES],
    bars: Bars,
    /// The "next" byte of the last capability, or the header's pointer.
    link: usize,
    free: usize,
}

impl ConfigSpace {
    /// A function with no BARs and no capabilities, decoding nothing. It has no interrupt pin: MSI-X only.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        let mut config = Self {
            bytes: [0; BYTES],
            writable: [0; BYTES],
            bars: Bars::default(),
            link: usize::from(CAPABILITIES),
            free: FIRST_CAPABILITY,
        };
        let [class, subclass, interface] = identity.class;
        config.set(0x00, &identity.vendor.to_le_bytes());
        config.set(0x02, &identity.device.to_le_bytes());
        config.set(0x08, &[identity.revision, interface, subclass, class]);
        config.set(0x2c, &identity.subsystem_vendor.to_le_bytes());
        config.set(0x2e, &identity.subsystem.to_le_bytes());
        config.allow(COMMAND, &(MEMORY | BUS_MASTER | INTX_OFF).to_le_bytes());
        config.allow(CACHE_LINE, &[0xff]);
        config.allow(INTERRUPT_LINE, &[0xff]);
        config
    }

    /// Adds a memory BAR. It gets its address when the function is put on the bus.
    ///
    /// # Errors
    /// When the BAR can't be.
    pub fn add_bar(&mut self, spec: BarSpec) -> Result<(), BarError> {
        for register in self.bars.add(spec)? {
            let Register {
                offset,
                initial,
                writable,
            } = register;
            self.set(offset, &initial.to_le_bytes());
            self.allow(offset, &writable.to_le_bytes());
        }
        Ok(())
    }

    /// Adds a capability: its id, what follows the two bytes of id and link, and which bits of that the guest can write (missing
    /// ones it can't). Returns the offset of the capability.
    ///
    /// # Errors
    /// When the 192 bytes for capabilities are full.
    pub fn add_capability(
        &mut self,
        id: u8,
        body: &[u8],
        writable: &[u8],
    ) -> Result<u16, CapabilityError> {
        let start = self.free;
        let end = start + 2 + body.len();
        let full = CapabilityError::Full { id };
        if end > BYTES || writable.len() > body.len() {
            return Err(full);
        }
        let (Ok(pointer), Ok(offset)) = (u8::try_from(start), u16::try_from(start)) else {
            return Err(full);
        };
        self.set(offset, &[id, 0]);
        self.set(offset + 2, body);
        self.allow(offset + 2, writable);
        self.bytes[self.link] = pointer;
        self.link = start + 1;
        self.free = end.next_multiple_of(4);
        self.set(STATUS, &HAS_CAPABILITIES.to_le_bytes());
        Ok(offset)
    }

    /// Reads, whatever the length and alignment. Past the end are ones.
    pub fn read(&self, offset: u16, data: &mut [u8]) {
        let from = self.bytes.get(usize::from(offset)..).unwrap_or_default();
        let (have, missing) = data.split_at_mut(data.len().min(from.len()));
        have.copy_from_slice(&from[..have.len()]);
        missing.fill(0xff);
    }

    /// Takes the bits that the guest can write, and says which BARs decode elsewhere now.
    pub fn write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        let start = usize::from(offset);
        for (at, new) in (start..BYTES).zip(data) {
            let mask = self.writable[at];
            self.bytes[at] = self.bytes[at] & !mask | new & mask;
        }
        let written = start..start + data.len();
        if overlaps(&written, &COMMAND_BYTES) || overlaps(&written, &BAR_BYTES) {
            let enabled = self.word(COMMAND) & MEMORY != 0;
            let bytes = &self.bytes;
            return self
                .bars
                .decode(enabled, |offset| double_word(bytes, offset));
        }
        Vec::new()
    }

    /// Size and present address of each BAR.
    #[must_use]
    pub fn bars(&self) -> Vec<(Bar, u64, Option<u64>)> {
        self.bars.list()
    }

    /// The driver lets the function read and write memory and interrupt.
    #[must_use]
    pub fn bus_master(&self) -> bool {
        self.word(COMMAND) & BUS_MASTER != 0
    }

    /// Two bytes; ones past the end.
    #[must_use]
    pub fn word(&self, offset: u16) -> u16 {
        let mut bytes = [0; 2];
        self.read(offset, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Changes bytes that the guest can't, as far as they fit.
    pub fn set(&mut self, offset: u16, bytes: &[u8]) {
        for (at, byte) in (usize::from(offset)..BYTES).zip(bytes) {
            self.bytes[at] = *byte;
        }
    }

    /// Lets the guest write these bits.
    pub(super) fn allow(&mut self, offset: u16, mask: &[u8]) {
        for (at, bits) in (usize::from(offset)..BYTES).zip(mask) {
            self.writable[at] = *bits;
        }
    }
}

const COMMAND_BYTES: Range<usize> = 0x04..0x06;
const BAR_BYTES: Range<usize> = 0x10..0x28;

fn overlaps(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn double_word(bytes: &[u8; BYTES], offset: u16) -> u32 {
    bytes
        .get(usize::from(offset)..)
        .and_then(|rest| rest.first_chunk())
        .map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
}

/// Why a device can't have a capability.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CapabilityError {
    /// No room.
    #[error("add capability {id:#x}: the 192 bytes for capabilities are full")]
    Full {
        /// Its id.
        id: u8,
    },
}

#[cfg(test)]
mod tests;
