//! Interrupts of a function on their way to the guest: the kernel's VFIO writes an eventfd, KVM reads it. Main type: [`Signals`], those of
//! MSI or of MSI-X. Above: `function`; below: `interrupt`'s wires, which are bound to KVM while the guest has a vector unmasked.
//!
//! Kernels before Linux 6.5 can't add an interrupt to a function that has some: it has to be switched off and on again. So their number
//! only grows, by doubling, and what might have come in between is made up for by ringing.

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use super::{Hardware, Signal};
use crate::interrupt::{InterruptError, MsiVector, Wire};

/// The eventfds of one kind, one for each vector.
#[derive(Debug)]
pub(super) struct Signals {
    signal: Signal,
    wires: Vec<Arc<Wire>>,
    /// How many the device has been told of.
    on: usize,
}

impl Signals {
    /// A wire for each vector. The device signals nothing yet.
    pub(super) fn new(
        signal: Signal,
        vectors: impl Iterator<Item = Arc<MsiVector>>,
    ) -> Result<Self, InterruptError> {
        let wire = |vector: Arc<MsiVector>| {
            let wire = Arc::new(Wire::new()?);
            vector.join(&wire)?;
            Ok(wire)
        };
        Ok(Self {
            signal,
            wires: vectors.map(wire).collect::<Result<_, _>>()?,
            on: 0,
        })
    }

    /// Has the device signal at least the first `wanted` vectors; with 0 none.
    pub(super) fn need(&mut self, hardware: &dyn Hardware, wanted: usize) -> io::Result<()> {
        if wanted == 0 {
            return self.switch_off(hardware);
        }
        let goal = wanted.next_power_of_two().min(self.wires.len());
        if goal <= self.on {
            return Ok(());
        }
        let before = self.on;
        self.switch_off(hardware)?;
        let eventfds = self.wires.iter().take(goal).map(|wire| wire.as_fd());
        let eventfds: Vec<BorrowedFd<'_>> = eventfds.collect();
        hardware.signal(self.signal, &eventfds)?;
        self.on = goal;
        // Drivers bear an interrupt too many, and none bears one that is lost.
        self.wires.iter().take(before).for_each(|wire| wire.ring());
        Ok(())
    }

    fn switch_off(&mut self, hardware: &dyn Hardware) -> io::Result<()> {
        if self.on > 0 {
            hardware.signal(self.signal, &[])?;
            self.on = 0;
        }
        Ok(())
    }
}
