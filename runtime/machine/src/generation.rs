//! The generation id: sixteen random bytes in guest memory that change when a machine is cloned, so that the guest's kernel reseeds
//! its random numbers (Microsoft, "Virtual Machine Generation ID"). Main type: [`GenerationId`]. `acpi` describes it to the guest.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

use crate::{
    interrupt::{InterruptError, Interrupts, Line},
    memory::{GENERATION_ID, GuestRam},
};

/// Pin of the I/O APIC with which the guest is told.
pub const GENERATION_PIN: u32 = 16;

/// The machine's generation id.
#[derive(Debug)]
pub struct GenerationId {
    ram: GuestRam,
    line: Line,
}

impl GenerationId {
    /// Puts a fresh id into guest memory.
    ///
    /// # Errors
    /// When the host has no random bytes or no interrupt.
    pub fn new(ram: &GuestRam, interrupts: &Interrupts) -> Result<Self, GenerationError> {
        let line = interrupts.line(GENERATION_PIN)?;
        let generation = Self {
            ram: ram.clone(),
            line,
        };
        generation.draw()?;
        Ok(generation)
    }

    /// Draws a new id and tells the guest: this is another machine now.
    ///
    /// # Errors
    /// When the host has no random bytes.
    pub fn renew(&self) -> Result<(), GenerationError> {
        self.draw()?;
        self.line.trigger();
        Ok(())
    }

    fn draw(&self) -> Result<(), GenerationError> {
        let mut id = [0_u8; 16];
        let drawn = getrandom(&mut id, GetRandomFlags::empty()).map_err(|source| {
            GenerationError::Draw {
                source: source.into(),
            }
        })?;
        if drawn != id.len() {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(GenerationError::Draw { source });
        }
        self.ram
            .write_slice(&id, GuestAddress(GENERATION_ID))
            .map_err(|source| GenerationError::Write { source })
    }
}

/// Why there is no generation id.
#[derive(Debug, Error)]
pub enum GenerationError {
    /// The host has no random bytes.
    #[error("draw a generation id")]
    Draw {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The page is not in RAM.
    #[error("write the generation id")]
    Write {
        /// What the memory said.
        #[source]
        source: GuestMemoryError,
    },
    /// No interrupt.
    #[error("take the generation id's interrupt")]
    Interrupt(#[from] InterruptError),
}
