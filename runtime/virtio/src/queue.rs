//! Access to a split virtqueue (virtio 1.3, section 2.7). Main type: [`Ring`], what a backend takes requests from and gives
//! them back to. Below: [`chain`] checks what the driver put into the ring, [`buffers`] and [`transfer`] move the bytes.
//! Above: every backend. With its modules this is the one place of the crate that may use `unsafe`.
//!
//! Everything here is written by the guest while we read it: each value is read once, checked, and then used. A ring that
//! breaks the protocol is an error value ([`Broken`]) that ends the backend; the guest harms only itself.

pub mod buffers;
pub mod chain;
mod doorbell;
pub mod stock;
pub mod transfer;

#[cfg(test)]
pub(crate) mod test_tap;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;

use machine::memory::GuestRam;
use thiserror::Error;
use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{Error as QueueError, Queue, QueueOwnedT, QueueT};
use vm_memory::{Address, Bytes, GuestAddress};

use crate::{
    backend::{BackendError, Kick, Notifier},
    device::ActiveQueue,
};
use chain::{Chain, Table};

/// One queue at work: requests come out, used entries go in.
#[derive(Debug)]
pub struct Ring {
    number: usize,
    memory: GuestRam,
    queue: Queue,
    notifier: Notifier,
    /// The used index when the driver was last told or found uninterested.
    told: u16,
}

/// A request given back: what names it, and how many bytes were written from the start of its writable part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// From [`Chain::head`].
    pub head: u16,
    /// Bytes written.
    pub written: u32,
}

/// How a driver broke the ring protocol. Section numbers are of virtio 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Broken {
    /// More requests than entries (2.7.6).
    #[error("the available index runs further ahead than the queue is long")]
    AvailableIndex,
    /// A descriptor number past the table's end (2.7.5).
    #[error("a descriptor number is past the end of its table")]
    DescriptorIndex,
    /// A loop, or a chain longer than the queue (2.7.5.2).
    #[error("a descriptor chain is longer than the queue, or loops")]
    ChainLength,
    /// More than 4 GiB in one chain (2.7.5.2).
    #[error("a descriptor chain holds 4 GiB or more")]
    ChainBytes,
    /// Nested, combined with NEXT, or of a length that is no table's (2.7.5.3.1).
    #[error("an indirect descriptor is malformed")]
    Indirect,
    /// Device-readable after device-writable (2.7.4.2).
    #[error("a device-readable buffer follows a device-writable one")]
    Order,
    /// Not guest memory.
    #[error("a descriptor or a ring lies outside guest memory")]
    Memory,
    /// The queue was never enabled, or its rings lie at address 0.
    #[error("the queue is not set up")]
    NotReady,
    /// What the host's kernel says of a queue that it works on; it does not say more.
    #[error("the host's kernel (vhost) can't work with the ring")]
    Vhost,
}

impl Ring {
    /// Takes over what the driver enabled; the doorbell's descriptor goes to whoever waits for it.
    pub fn new(number: usize, memory: GuestRam, active: ActiveQueue) -> (Self, Kick) {
        let ActiveQueue {
            queue,
            kick,
            notifier,
        } = active;
        (Self::over(number, memory, queue, notifier), kick)
    }

    /// A ring without a doorbell, for one who knows by other means when to look.
    pub fn over(number: usize, memory: GuestRam, queue: Queue, notifier: Notifier) -> Self {
        Self {
            number,
            memory,
            told: queue.next_used(),
            queue,
            notifier,
        }
    }

    /// An empty chain for [`Ring::pop`], to be made once and used for every request.
    pub fn chain(&self) -> Chain {
        Chain::new(self.memory.clone(), self.queue.max_size())
    }

    /// How many entries the driver chose.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Puts the next request into `chain`; false when there is none.
    ///
    /// # Errors
    /// When the driver broke the protocol. `chain` is then empty.
    pub fn pop(&mut self, chain: &mut Chain) -> Result<bool, BackendError> {
        let taken = self.take(chain);
        if taken.is_err() {
            chain.clear();
        }
        taken.map_err(|broken| self.broken(broken))
    }

    /// Undoes the last [`Ring::pop`]: the request comes again. For a device that finds no room for an answer yet.
    pub fn put_back(&mut self) {
        self.queue.go_to_previous_position();
    }

    /// Is there a request? Costs one read of guest memory.
    ///
    /// # Errors
    /// When the ring is not in guest memory.
    pub fn has_request(&self) -> Result<bool, BackendError> {
        let available = self.queue.avail_idx(&self.memory, Ordering::Acquire);
        let available = available.map_err(|_outside| self.broken(Broken::Memory))?;
        Ok(available.0 != self.queue.next_avail())
    }

    /// Gives a request back with the number of bytes that the device wrote from the start of the chain's writable part.
    /// The driver learns of it with the next [`Ring::signal`].
    ///
    /// # Errors
    /// When `head` is no descriptor of this queue, or the ring is not in guest memory.
    pub fn push(&mut self, head: u16, written: u32) -> Result<(), BackendError> {
        let pushed = self.queue.add_used(&self.memory, head, written);
        pushed.map_err(|error| self.broken(Broken::from(&error)))
    }

    /// The same for several requests that hold one answer: the driver sees all of them or none (for a network device, 5.1.6.4).
    ///
    /// # Errors
    /// As for [`Ring::push`].
    pub fn push_together(&mut self, used: &[Used]) -> Result<(), BackendError> {
        let Some((last, others)) = used.split_last() else {
            return Ok(());
        };
        let first = self.queue.next_used();
        let mut index = first;
        for other in others {
            self.write_used(index, *other)
                .map_err(|broken| self.broken(broken))?;
            index = index.wrapping_add(1);
        }
        // The last one brings the index of all.
        self.queue.set_next_used(index);
        let pushed = self.push(last.head, last.written);
        if pushed.is_err() {
            self.queue.set_next_used(first);
        }
        pushed
    }

    /// Interrupts the driver if something was given back and the driver wants to know (2.7.7: `used_event`, or the flag
    /// NO_INTERRUPT without EVENT_IDX). Call it once for a batch, not once for a request.
    ///
    /// # Errors
    /// When the ring is not in guest memory.
    pub fn signal(&mut self) -> Result<(), BackendError> {
        let told = std::mem::replace(&mut self.told, self.queue.next_used());
        if self.told == told {
            return Ok(());
        }
        let wanted = self.wants_interrupt(told);
        if wanted.map_err(|broken| self.broken(broken))? {
            self.notifier.0.trigger();
        }
        Ok(())
    }

    /// Asks the driver to notify about the next request, and says whether one arrived before it could have heard that:
    /// then look again instead of waiting.
    ///
    /// # Errors
    /// When the ring is not in guest memory.
    pub fn arm(&mut self) -> Result<bool, BackendError> {
        let armed = self.queue.enable_notification(&self.memory);
        armed.map_err(|error| self.broken(Broken::from(&error)))
    }

    /// Tells the driver that notifications are of no use now, for we are looking anyway. With EVENT_IDX it need not be told.
    ///
    /// # Errors
    /// When the ring is not in guest memory.
    pub fn disarm(&mut self) -> Result<(), BackendError> {
        let disarmed = self.queue.disable_notification(&self.memory);
        disarmed.map_err(|error| self.broken(Broken::from(&error)))
    }

    /// This queue's part of an error that a backend returns.
    pub fn broken(&self, broken: Broken) -> BackendError {
        BackendError::Queue {
            queue: self.number,
            source: broken,
        }
    }

    fn take(&mut self, chain: &mut Chain) -> Result<bool, Broken> {
        let table = Table {
            address: GuestAddress(self.queue.desc_table()),
            length: self.queue.size(),
            indirect: false,
        };
        let heads = self.queue.iter(&self.memory);
        let next = heads.map_err(|error| Broken::from(&error))?.next();
        let Some(head) = next.map(|chain| chain.head_index()) else {
            return Ok(false);
        };
        chain.load(table, head)?;
        Ok(true)
    }

    /// Does the driver want to hear of what was given back since the used index was `told`?
    fn wants_interrupt(&self, told: u16) -> Result<bool, Broken> {
        // The entries must be out before we look at what the driver wants of us (2.7.7.2).
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.queue.event_idx_enabled() {
            // Behind the entries of the available ring (2.7.6). Not virtio-queue's needs_notification: it does not count what
            // `push_together` adds.
            let used_event = self.available(4 + u64::from(self.queue.size()) * 2)?;
            let added = self.queue.next_used().wrapping_sub(told);
            let since_wanted = self.queue.next_used().wrapping_sub(used_event);
            // The wanted entry is among the added ones: the comparison of 2.7.7.2, free of wrapping.
            return Ok(since_wanted.wrapping_sub(1) < added);
        }
        Ok(u32::from(self.available(0)?) & VRING_AVAIL_F_NO_INTERRUPT == 0)
    }

    /// A field of the available ring.
    fn available(&self, offset: u64) -> Result<u16, Broken> {
        let address = GuestAddress(self.queue.avail_ring()).checked_add(offset);
        let field = self
            .memory
            .load(address.ok_or(Broken::Memory)?, Ordering::Relaxed);
        field.map(u16::from_le).map_err(|_outside| Broken::Memory)
    }

    /// Writes the entry of this index without saying that it is there.
    fn write_used(&self, index: u16, used: Used) -> Result<(), Broken> {
        let size = self.queue.size();
        if used.head >= size {
            return Err(Broken::DescriptorIndex);
        }
        // Two fields in front of entries of eight bytes (2.7.8).
        let offset = 4 + u64::from(index % size) * 8;
        let address = GuestAddress(self.queue.used_ring()).checked_add(offset);
        // The head, then the length, both of 32 bits.
        let entry = u64::from(used.written) << 32 | u64::from(used.head);
        let written = self
            .memory
            .write_obj(entry.to_le(), address.ok_or(Broken::Memory)?);
        written.map_err(|_outside| Broken::Memory)
    }
}

impl From<&QueueError> for Broken {
    fn from(error: &QueueError) -> Self {
        match error {
            QueueError::InvalidAvailRingIndex => Self::AvailableIndex,
            QueueError::InvalidDescriptorIndex => Self::DescriptorIndex,
            QueueError::QueueNotReady => Self::NotReady,
            _ => Self::Memory,
        }
    }
}
