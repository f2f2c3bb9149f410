//! MSI of a function that is given to the guest (PCI 3.0, 6.8.1): what its driver writes into the capability steers vectors. Main type:
//! [`Msi`]. `config` keeps the capability's bytes; `pci` has MSI-X, which our own devices have, too.

use std::sync::Arc;

use super::config::{ConfigTable, MSI_CONTROL, MsiPlace};
use crate::interrupt::{InterruptError, Interrupts, MsiMessage, MsiVector};

const ENABLE: u16 = 1;

/// The vectors of one function.
#[derive(Debug)]
pub(super) struct Msi {
    interrupts: Interrupts,
    pub(super) place: MsiPlace,
    vectors: Vec<Arc<MsiVector>>,
}

impl Msi {
    /// Takes the vectors; all are off.
    pub(super) fn new(interrupts: &Interrupts, place: MsiPlace) -> Result<Self, InterruptError> {
        let vectors = (0..place.vectors).map(|_| interrupts.allocate());
        Ok(Self {
            interrupts: interrupts.clone(),
            place,
            vectors: vectors.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn vectors(&self) -> impl Iterator<Item = Arc<MsiVector>> {
        self.vectors.iter().map(Arc::clone)
    }

    /// How many vectors the driver uses; 0 while MSI is off.
    pub(super) fn in_use(&self, table: &ConfigTable) -> usize {
        let control = table.word(self.place.offset + MSI_CONTROL);
        if control & ENABLE == 0 {
            return 0;
        }
        (1_usize << (control >> 4 & 0b111)).min(self.vectors.len())
    }

    /// Brings the vectors to the state that the capability says.
    pub(super) fn steer(&self, table: &ConfigTable) -> Result<(), InterruptError> {
        let in_use = self.in_use(table);
        let (used, unused) = self.vectors.split_at(in_use);
        unused.iter().for_each(|vector| vector.turn_off());
        let message = self.message(table);
        let masks = self.place.mask().map_or(0, |at| table.double_word(at));
        for (vector, number) in used.iter().zip(0_u32..) {
            // The device changes the low bits of the data, as many as say which of its vectors it is.
            let changed = u32::try_from(in_use.saturating_sub(1)).unwrap_or(0);
            vector.route(MsiMessage {
                address: message.address,
                data: message.data & !changed | number,
            });
        }
        self.interrupts.commit()?;
        for (vector, number) in used.iter().zip(0_u32..) {
            if masks >> number & 1 == 0 {
                vector.unmask()?;
            } else {
                vector.mask();
            }
        }
        Ok(())
    }

    fn message(&self, table: &ConfigTable) -> MsiMessage {
        let low = u64::from(table.double_word(self.place.offset + 4));
        let high = match self.place.wide {
            true => u64::from(table.double_word(self.place.offset + 8)),
            false => 0,
        };
        MsiMessage {
            address: high << 32 | low,
            data: table.word(self.place.data()).into(),
        }
    }
}
