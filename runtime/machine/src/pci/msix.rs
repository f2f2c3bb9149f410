//! MSI-X of one function (PCI 3.0, 6.8.2): capability, vector table, pending bits. Main type: [`Msix`]. A function passes it what
//! the guest writes to its part of a BAR, and tells it when the capability was written; devices trigger its vectors.

use std::sync::Arc;

use thiserror::Error;

use super::{Bar, CapabilityError, ConfigSpace};
use crate::interrupt::{InterruptError, Interrupts, MsiMessage, MsiVector};

const CAPABILITY_ID: u8 = 0x11;
/// Offset of message control in the capability.
const CONTROL: u16 = 2;
const CONTROL_ENABLE: u16 = 1 << 15;
const CONTROL_MASK_ALL: u16 = 1 << 14;
const ENTRY_BYTES: usize = 16;
/// The capability's size field has 11 bits.
const MOST_VECTORS: u16 = 2048;
/// Vector control: masked.
const MASKED: u32 = 1;

/// Bytes of the table of so many vectors.
#[must_use]
pub fn table_bytes(vectors: u16) -> u32 {
    u32::from(vectors) * 16
}

/// Bytes of the pending bits of so many vectors.
#[must_use]
pub fn pending_bytes(vectors: u16) -> u32 {
    u32::from(vectors).div_ceil(64) * 8
}

/// Where table and pending bits lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsixPlace {
    /// The BAR of both.
    pub bar: Bar,
    /// Offset of the table in the BAR, a multiple of 8.
    pub table: u32,
    /// Offset of the pending bits in the BAR, a multiple of 8.
    pub pending: u32,
}

/// One function's vectors. All are masked and off until the driver says otherwise.
#[derive(Debug)]
pub struct Msix {
    interrupts: Interrupts,
    entries: Vec<Entry>,
    capability: u16,
    control: u16,
}

#[derive(Debug)]
struct Entry {
    message: MsiMessage,
    control: u32,
    vector: Arc<MsiVector>,
}

impl Msix {
    /// Takes so many vectors and puts the capability into configuration space.
    ///
    /// # Errors
    /// When there are none or too many, or no interrupt number or room for the capability is left.
    pub fn new(
        interrupts: &Interrupts,
        vectors: u16,
        config: &mut ConfigSpace,
        place: MsixPlace,
    ) -> Result<Self, MsixError> {
        let entries = entries(interrupts, vectors)?;
        let mut body = [0; 10];
        let (control, places) = body.split_at_mut(2);
        control.copy_from_slice(&(vectors - 1).to_le_bytes());
        let (table, pending) = places.split_at_mut(4);
        table.copy_from_slice(&(place.table | u32::from(place.bar.0)).to_le_bytes());
        pending.copy_from_slice(&(place.pending | u32::from(place.bar.0)).to_le_bytes());
        let writable = (CONTROL_ENABLE | CONTROL_MASK_ALL).to_le_bytes();
        let capability = config.add_capability(CAPABILITY_ID, &body, &writable)?;
        Ok(Self {
            interrupts: interrupts.clone(),
            entries,
            capability,
            control: 0,
        })
    }

    /// Takes so many vectors for a function whose own configuration space has the capability. It says what is in message control by
    /// [`Msix::set_control`].
    ///
    /// # Errors
    /// When there are none or too many, or no interrupt number is left.
    pub(crate) fn of_device(interrupts: &Interrupts, vectors: u16) -> Result<Self, MsixError> {
        Ok(Self {
            interrupts: interrupts.clone(),
            entries: entries(interrupts, vectors)?,
            capability: 0,
            control: 0,
        })
    }

    /// How many vectors the device has to be able to signal now: up to the last that is unmasked, and 0 while MSI-X is off.
    pub(crate) fn in_use(&self) -> usize {
        if self.control & CONTROL_ENABLE == 0 {
            return 0;
        }
        let unmasked = |entry: &Entry| entry.control & MASKED == 0;
        let last = self.entries.iter().rposition(unmasked);
        // A device may look whether MSI-X is on before its driver unmasks anything.
        last.map_or(1, |last| last + 1)
    }

    /// A vector to trigger, whatever the driver does with it.
    #[must_use]
    pub fn vector(&self, index: u16) -> Option<Arc<MsiVector>> {
        self.entries
            .get(usize::from(index))
            .map(|entry| Arc::clone(&entry.vector))
    }

    /// Configuration space was written: takes over message control if that changed.
    ///
    /// # Errors
    /// When KVM does not take the vectors' messages; they stay masked then.
    pub fn config_written(&mut self, config: &ConfigSpace) -> Result<(), InterruptError> {
        self.set_control(config.word(self.capability + CONTROL))
    }

    /// Takes over message control.
    ///
    /// # Errors
    /// As [`Msix::config_written`].
    pub(crate) fn set_control(&mut self, control: u16) -> Result<(), InterruptError> {
        if control == self.control {
            return Ok(());
        }
        self.control = control;
        self.steer(0..self.entries.len())
    }

    /// Reads the table at an offset from its start: 4 or 8 bytes, naturally aligned.
    pub fn table_read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        let Some((index, within)) = place_in_table(offset, data.len()) else {
            return;
        };
        if let Some(entry) = self.entries.get(index) {
            data.copy_from_slice(&entry.bytes()[within..within + data.len()]);
        }
    }

    /// Writes the table at an offset from its start: 4 or 8 bytes, naturally aligned. Others are ignored.
    ///
    /// # Errors
    /// When KVM does not take the vector's message; it stays masked then.
    pub fn table_write(&mut self, offset: u64, data: &[u8]) -> Result<(), InterruptError> {
        let Some((index, within)) = place_in_table(offset, data.len()) else {
            return Ok(());
        };
        let Some(entry) = self.entries.get_mut(index) else {
            return Ok(());
        };
        let mut bytes = entry.bytes();
        bytes[within..within + data.len()].copy_from_slice(data);
        entry.set(bytes);
        self.steer(index..index + 1)
    }

    /// Reads the pending bits at an offset from their start.
    pub fn pending_read(&self, offset: u64, data: &mut [u8]) {
        for (byte, distance) in data.iter_mut().zip(0_u64..) {
            let bit = offset.saturating_add(distance).saturating_mul(8);
            let first = usize::try_from(bit).unwrap_or(usize::MAX);
            let vectors = self.entries.iter().skip(first).take(8);
            *byte = vectors.zip(0..).fold(0, |bits, (entry, shift)| {
                bits | u8::from(entry.vector.pending()) << shift
            });
        }
    }

    /// Brings vectors to the state that table and message control say. Unmasked ones come last, behind one commit for all.
    fn steer(&self, range: std::ops::Range<usize>) -> Result<(), InterruptError> {
        let entries = self.entries.get(range).unwrap_or_default();
        if self.control & CONTROL_ENABLE == 0 {
            entries.iter().for_each(|entry| entry.vector.turn_off());
            return Ok(());
        }
        let all_masked = self.control & CONTROL_MASK_ALL != 0;
        let (masked, unmasked): (Vec<_>, Vec<_>) = entries
            .iter()
            .partition(|entry| all_masked || entry.control & MASKED != 0);
        masked.iter().for_each(|entry| entry.vector.mask());
        if unmasked.is_empty() {
            return Ok(());
        }
        for entry in &unmasked {
            entry.vector.route(entry.message);
        }
        if let Err(error) = self.interrupts.commit() {
            unmasked.iter().for_each(|entry| entry.vector.mask());
            return Err(error);
        }
        unmasked.iter().try_for_each(|entry| entry.vector.unmask())
    }
}

fn entries(interrupts: &Interrupts, vectors: u16) -> Result<Vec<Entry>, MsixError> {
    if !(1..=MOST_VECTORS).contains(&vectors) {
        return Err(MsixError::Count { vectors });
    }
    let entry = |_| {
        Ok(Entry {
            message: MsiMessage::default(),
            control: MASKED,
            vector: interrupts.allocate()?,
        })
    };
    (0..vectors).map(entry).collect()
}

impl Entry {
    fn bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let (address, rest) = bytes.split_at_mut(8);
        address.copy_from_slice(&self.message.address.to_le_bytes());
        let (data, control) = rest.split_at_mut(4);
        data.copy_from_slice(&self.message.data.to_le_bytes());
        control.copy_from_slice(&self.control.to_le_bytes());
        bytes
    }

    fn set(&mut self, bytes: [u8; ENTRY_BYTES]) {
        let value = u128::from_le_bytes(bytes);
        let word = |shift: u32| {
            let [a, b, c, d, ..] = (value >> shift).to_le_bytes();
            u32::from_le_bytes([a, b, c, d])
        };
        self.message.address = u64::from(word(32)) << 32 | u64::from(word(0));
        self.message.data = word(64);
        self.control = word(96) & MASKED; // The other bits are reserved.
    }
}

/// The entry and the offset in it, for an access that the specification allows.
fn place_in_table(offset: u64, length: usize) -> Option<(usize, usize)> {
    let offset = usize::try_from(offset).ok()?;
    let allowed = matches!(length, 4 | 8) && offset.is_multiple_of(length);
    allowed.then_some((offset / ENTRY_BYTES, offset % ENTRY_BYTES))
}

/// Why a function can't have MSI-X.
#[derive(Debug, Error)]
pub enum MsixError {
    /// The capability can't say it.
    #[error("give a function {vectors} MSI-X vectors: it can have 1 to {MOST_VECTORS}")]
    Count {
        /// What was asked for.
        vectors: u16,
    },
    /// No vector.
    #[error("take the MSI-X vectors of a function")]
    Interrupt(#[from] InterruptError),
    /// No room in configuration space.
    #[error("add the MSI-X capability")]
    Capability(#[from] CapabilityError),
}

#[cfg(test)]
mod tests;
