//! One request of a driver: a chain of descriptors, checked and turned into buffers. Main type: [`Chain`]. Above:
//! [`Ring`](super::Ring) fills it; backends read and write through it. Below: [`transfer`](super::transfer).
//!
//! This is the one place where descriptors are read. What it promises, whatever the guest wrote: it ends after at most as
//! many buffers as the queue's largest size; every buffer lies in guest memory; the sum of the lengths fits 32 bits;
//! device-readable buffers come before device-writable ones.

#[cfg(test)]
mod tests;

use machine::memory::GuestRam;
use virtio_queue::desc::split::Descriptor;
use vm_memory::{Address, Bytes, GuestAddress};

use super::{
    Broken,
    transfer::{Readable, Writable},
};

/// Bytes of a descriptor in memory (virtio 1.3, section 2.7.5).
const DESCRIPTOR_BYTES: u16 = 16;

/// One request. Made once per queue and filled again and again: its lists keep their memory.
#[derive(Debug)]
pub struct Chain {
    memory: GuestRam,
    most: u16,
    head: u16,
    /// What the driver sends.
    pub readable: Readable,
    /// Where the driver wants the answer.
    pub writable: Writable,
}

/// A table of descriptors: the queue's own, or an indirect one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) address: GuestAddress,
    pub(super) length: u16,
    pub(super) indirect: bool,
}

impl Chain {
    pub(super) fn new(memory: GuestRam, most: u16) -> Self {
        let capacity = usize::from(most);
        Self {
            readable: Readable::new(memory.clone(), capacity),
            writable: Writable::new(memory.clone(), capacity),
            memory,
            most,
            head: 0,
        }
    }

    /// What names this request when it is given back.
    pub fn head(&self) -> u16 {
        self.head
    }

    pub(super) fn clear(&mut self) {
        self.readable.0.clear();
        self.writable.0.clear();
    }

    /// Reads the chain that starts at `head` of the queue's `table`.
    pub(super) fn load(&mut self, table: Table, head: u16) -> Result<(), Broken> {
        self.clear();
        self.head = head;
        let (mut table, mut index) = (table, head);
        let (mut left, mut bytes) = (self.most, 0_u32);
        // Ends: each turn uses up one of `left`, but the one that enters an indirect table, which happens once.
        loop {
            let descriptor = self.descriptor(table, index)?;
            if descriptor.refers_to_indirect_table() {
                (table, index) = (self.indirect_table(table, &descriptor)?, 0);
                continue;
            }
            left = left.checked_sub(1).ok_or(Broken::ChainLength)?;
            bytes = bytes
                .checked_add(descriptor.len())
                .ok_or(Broken::ChainBytes)?;
            self.add(&descriptor)?;
            if !descriptor.has_next() {
                return Ok(());
            }
            index = descriptor.next();
        }
    }

    fn descriptor(&self, table: Table, index: u16) -> Result<Descriptor, Broken> {
        if index >= table.length {
            return Err(Broken::DescriptorIndex);
        }
        let offset = u64::from(index) * u64::from(DESCRIPTOR_BYTES);
        let address = table.address.checked_add(offset).ok_or(Broken::Memory)?;
        // Read once: what the guest changes after this is not seen.
        let read = self.memory.read_obj(address);
        read.map_err(|_outside| Broken::Memory)
    }

    /// Linux makes indirect tables of up to the queue's largest size, even when it chose a smaller one.
    fn indirect_table(&self, within: Table, descriptor: &Descriptor) -> Result<Table, Broken> {
        let entry = u32::from(DESCRIPTOR_BYTES);
        let length = descriptor.len();
        if within.indirect || descriptor.has_next() {
            return Err(Broken::Indirect);
        }
        if length == 0 || !length.is_multiple_of(entry) {
            return Err(Broken::Indirect);
        }
        match u16::try_from(length / entry) {
            Ok(entries) if entries <= self.most => Ok(Table {
                address: descriptor.addr(),
                length: entries,
                indirect: true,
            }),
            _ => Err(Broken::Indirect),
        }
    }

    fn add(&mut self, descriptor: &Descriptor) -> Result<(), Broken> {
        let (address, length) = (descriptor.addr(), descriptor.len());
        if descriptor.is_write_only() {
            self.writable.0.add(address, length)
        } else if self.writable.is_empty() {
            self.readable.0.add(address, length)
        } else {
            Err(Broken::Order)
        }
    }
}
