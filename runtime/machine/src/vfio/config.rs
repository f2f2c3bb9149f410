//! Configuration space of a function that is given to the guest: a table that says of each byte whether the guest has the device's own,
//! or one that is kept here, and which bits of that it can write. Main type: [`ConfigTable`]. Pure: bytes in, bytes out.
//!
//! | bytes | the guest has |
//! |---|---|
//! | ids, class, subsystem | the device's, as read at the start |
//! | command | ours; what matters to the device is passed on by `function` |
//! | status, cache line, latency, capabilities that are not named here | the device's (the kernel guards what is dangerous in them) |
//! | header type | the device's, as the only function of its slot |
//! | BARs | ours |
//! | ROM, interrupt pin, self-test | zero: there are none |
//! | MSI, MSI-X | ours |
//! | enhanced allocation, SR-IOV, ARI, resizable BARs, ATS, PRI, PASID, multicast | nothing: they would move BARs or need an IOMMU |

mod capabilities;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::capabilities::Capability;
use crate::pci::{COMMAND, Register};

/// Of a function that is none of PCI Express; no device has less.
pub(super) const LEAST_BYTES: usize = 256;
/// Of PCI Express.
pub(super) const MOST_BYTES: usize = 4096;

const HEADER_BYTES: usize = 0x40;
const STATUS: usize = 0x06;
const CACHE_LINE: usize = 0x0c;
const HEADER_TYPE: usize = 0x0e;
const SELF_TEST: usize = 0x0f;
const BARS: Range<usize> = 0x10..0x28;
const ROM: Range<usize> = 0x30..0x34;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;
const INTERRUPT_PIN: usize = 0x3d;

const MANY_FUNCTIONS: u8 = 0x80;
/// Memory, bus master, parity, SERR and INTx off. No I/O ports.
const COMMAND_WRITABLE: u16 = 1 << 1 | 1 << 2 | 1 << 6 | 1 << 8 | 1 << 10;

/// Vectors that a guest is offered. More would take a descriptor each of a monitor that has only so many.
pub(super) const MOST_VECTORS: u16 = 256;

/// MSI-X: control, then table and pending bits, each a BAR's number and an offset in it.
pub(super) const MSIX_CONTROL: usize = 2;
const MSIX_BYTES: usize = 12;
const MSIX_WRITABLE: u16 = 1 << 15 | 1 << 14;
const MSIX_SIZE: u16 = 0x7ff;

/// MSI: control, address of 32 or 64 bits, data, and a mask if it has one.
pub(super) const MSI_CONTROL: usize = 2;
const MSI_WRITABLE: u16 = 1 | 0b111 << 4;
const MSI_WIDE: u16 = 1 << 7;
const MSI_MASKS: u16 = 1 << 8;

/// What the guest sees of one function.
#[derive(Debug)]
pub(super) struct ConfigTable {
    /// What is kept here.
    ours: Vec<u8>,
    /// Bits of it that the guest can write.
    writable: Vec<u8>,
    /// The byte is the device's own.
    real: Vec<bool>,
    pub(super) msix: Option<MsixPlace>,
    pub(super) msi: Option<MsiPlace>,
}

/// The MSI-X capability of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MsixPlace {
    /// Of the capability.
    pub(super) offset: usize,
    /// What the guest is offered.
    pub(super) vectors: u16,
    /// What the device has: its table is as long.
    pub(super) entries: u16,
    /// BAR and offset of the table.
    pub(super) table: (u8, u64),
    /// BAR and offset of the pending bits.
    pub(super) pending: (u8, u64),
}

/// The MSI capability of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MsiPlace {
    /// Of the capability.
    pub(super) offset: usize,
    pub(super) vectors: u16,
    pub(super) wide: bool,
    pub(super) masks: bool,
}

impl MsiPlace {
    pub(super) fn data(self) -> usize {
        self.offset + if self.wide { 12 } else { 8 }
    }

    pub(super) fn mask(self) -> Option<usize> {
        self.masks.then_some(self.data() + 4)
    }

    /// All of it.
    pub(super) fn bytes(self) -> Range<usize> {
        let end = match self.mask() {
            Some(mask) => mask + 8,
            None => self.data() + 2,
        };
        self.offset..end
    }
}

impl MsixPlace {
    /// All of it.
    pub(super) fn bytes(self) -> Range<usize> {
        self.offset..self.offset + MSIX_BYTES
    }
}

impl ConfigTable {
    /// From the device's own bytes, 256 or 4096; or why no guest can be given it.
    pub(super) fn new(device: &[u8]) -> Result<Self, &'static str> {
        if ![LEAST_BYTES, MOST_BYTES].contains(&device.len()) {
            return Err("its configuration space has neither 256 nor 4096 bytes");
        }
        let mut table = Self {
            ours: device.to_vec(),
            writable: vec![0; device.len()],
            real: vec![true; device.len()],
            msix: None,
            msi: None,
        };
        if table.byte(HEADER_TYPE) & !MANY_FUNCTIONS != 0 {
            return Err("it is a bridge, and bridges stay with the host");
        }
        table.take_header();
        let (shown, hidden) = capabilities::list(device);
        table.link(&shown);
        hidden.iter().for_each(|range| table.hide(range));
        for capability in &shown {
            table.take_capability(*capability);
        }
        for extended in capabilities::extended(device) {
            table.keep(&(extended.start..extended.start + 4));
            if extended.hidden {
                // Its id is gone, its link stays: Linux reads an id of 0 as no capability and goes on.
                table.set(extended.start, &[0, 0]);
                let version_and_link = table.byte(extended.start + 2) & 0xf0;
                table.set(extended.start + 2, &[version_and_link]);
                table.hide(&(extended.start + 4..extended.end));
            }
        }
        Ok(table)
    }

    /// Takes a BAR's register over.
    pub(super) fn add(&mut self, register: Register) {
        let start = usize::from(register.offset);
        self.set(start, &register.initial.to_le_bytes());
        self.allow(start, &register.writable.to_le_bytes());
    }

    /// Fills in the bytes that are ours, and says which are the device's: ranges of `data`.
    pub(super) fn read(&self, offset: u16, data: &mut [u8]) -> Vec<Range<usize>> {
        let start = usize::from(offset);
        for (at, byte) in (start..).zip(data.iter_mut()) {
            *byte = self.byte(at);
        }
        self.runs(start, data.len())
    }

    /// Takes the bits that the guest can write, and says which bytes are for the device: ranges of `data`.
    pub(super) fn write(&mut self, offset: u16, data: &[u8]) -> Vec<Range<usize>> {
        let start = usize::from(offset);
        for (at, new) in (start..self.ours.len()).zip(data) {
            let (Some(byte), Some(mask)) = (self.ours.get_mut(at), self.writable.get(at)) else {
                continue;
            };
            *byte = *byte & !mask | new & mask;
        }
        self.runs(start, data.len())
    }

    /// Two bytes of ours; ones past the end.
    pub(super) fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at + 1)])
    }

    /// Four bytes of ours.
    pub(super) fn double_word(&self, at: usize) -> u32 {
        u32::from(self.word(at + 2)) << 16 | u32::from(self.word(at))
    }

    fn byte(&self, at: usize) -> u8 {
        self.ours.get(at).copied().unwrap_or(0xff)
    }

    /// Runs of the device's own bytes, counted from `start`.
    fn runs(&self, start: usize, length: usize) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for at in 0..length {
            if !self.real.get(start + at).copied().unwrap_or(false) {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.end == at => run.end += 1,
                _ => runs.push(at..at + 1),
            }
        }
        runs
    }

    fn take_header(&mut self) {
        self.keep(&(0..HEADER_BYTES));
        self.give(&(STATUS..STATUS + 2));
        self.give(&(CACHE_LINE..HEADER_TYPE));
        let command = usize::from(COMMAND);
        self.set(command, &[0, 0]);
        self.allow(command, &COMMAND_WRITABLE.to_le_bytes());
        let header_type = self.byte(HEADER_TYPE) & !MANY_FUNCTIONS;
        self.set(HEADER_TYPE, &[header_type]);
        self.set(SELF_TEST, &[0]);
        self.hide(&BARS);
        self.hide(&ROM);
        self.allow(INTERRUPT_LINE, &[0xff]);
        self.set(INTERRUPT_PIN, &[0]);
    }

    /// Chains the capabilities that are shown.
    fn link(&mut self, shown: &[Capability]) {
        let mut link = CAPABILITIES;
        for capability in shown {
            self.keep(&(capability.start..capability.start + 2));
            self.set(link, &[u8::try_from(capability.start).unwrap_or(0)]);
            link = capability.start + 1;
        }
        self.set(link, &[0]);
    }

    fn take_capability(&mut self, capability: Capability) {
        match capability.id {
            capabilities::MSIX if self.msix.is_none() => self.take_msix(capability.start),
            capabilities::MSI if self.msi.is_none() => self.take_msi(capability.start),
            _ => {}
        }
    }

    fn take_msix(&mut self, offset: usize) {
        let control = offset + MSIX_CONTROL;
        if offset + MSIX_BYTES > LEAST_BYTES {
            return;
        }
        let entries = (self.word(control) & MSIX_SIZE).saturating_add(1);
        let vectors = entries.min(MOST_VECTORS);
        let place = |word: u32| (word.to_le_bytes()[0] & 0b111, u64::from(word & !0b111));
        self.msix = Some(MsixPlace {
            offset,
            vectors,
            entries,
            table: place(self.double_word(offset + 4)),
            pending: place(self.double_word(offset + 8)),
        });
        self.keep(&(offset..offset + MSIX_BYTES));
        self.set(control, &(vectors - 1).to_le_bytes());
        self.allow(control, &MSIX_WRITABLE.to_le_bytes());
    }

    fn take_msi(&mut self, offset: usize) {
        let control = offset + MSI_CONTROL;
        let offered = self.word(control);
        // Six and seven are reserved; five is 32.
        let vectors = 1_u16 << (offered >> 1 & 0b111).min(5);
        let place = MsiPlace {
            offset,
            vectors,
            wide: offered & MSI_WIDE != 0,
            masks: offered & MSI_MASKS != 0,
        };
        if place.bytes().end > LEAST_BYTES {
            return;
        }
        self.hide(&(offset + 2..place.bytes().end));
        let kept = offered & (0b111 << 1 | MSI_WIDE | MSI_MASKS);
        self.set(control, &kept.to_le_bytes());
        self.allow(control, &MSI_WRITABLE.to_le_bytes());
        self.allow(offset + 4, &[0xfc, 0xff, 0xff, 0xff]);
        if place.wide {
            self.allow(offset + 8, &[0xff; 4]);
        }
        self.allow(place.data(), &[0xff; 2]);
        if let Some(mask) = place.mask() {
            self.allow(mask, &[0xff; 4]);
        }
        self.msi = Some(place);
    }

    /// The bytes are kept here from now on, as the device had them; the guest can't write them.
    fn keep(&mut self, range: &Range<usize>) {
        if let Some(real) = self.real.get_mut(range.clone()) {
            real.fill(false);
        }
    }

    fn give(&mut self, range: &Range<usize>) {
        if let Some(real) = self.real.get_mut(range.clone()) {
            real.fill(true);
        }
    }

    /// Nothing is there.
    fn hide(&mut self, range: &Range<usize>) {
        let end = range.end.min(self.ours.len());
        let range = range.start.min(end)..end;
        self.keep(&range);
        if let Some(bytes) = self.ours.get_mut(range) {
            bytes.fill(0);
        }
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.ours.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }

    fn allow(&mut self, at: usize, mask: &[u8]) {
        for (place, bits) in self.writable.iter_mut().skip(at).zip(mask) {
            *place = *bits;
        }
    }
}
