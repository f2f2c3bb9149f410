//! The other side of a device for tests: what a guest's driver does. Main types: [`DriverRing`], which builds requests in
//! guest memory as Linux does, [`pci::PciDriver`], which finds and drives a device
//! through its PCI function, and [`link::Link`], a network device's other end.

pub(crate) mod link;
pub(crate) mod pci;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use machine::memory::GuestRam;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

use crate::backend::{Interrupt, Notifier};

pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

/// Guest memory with a hole, as the machine has below 1 MiB.
pub(crate) fn memory() -> GuestRam {
    let ranges = [
        (GuestAddress(0), 0xa_0000),
        (GuestAddress(0x10_0000), 0x40_0000),
    ];
    GuestRam::from_ranges(&ranges).expect("map test memory")
}

/// Counts interrupts.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU32);

impl Counter {
    pub(crate) fn notifier() -> (Arc<Self>, Notifier) {
        let counter = Arc::new(Self::default());
        (Arc::clone(&counter), Notifier(counter))
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Interrupt for Counter {
    fn trigger(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A piece of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) address: u64,
    pub(crate) length: u32,
    pub(crate) writable: bool,
}

/// Device-readable.
pub(crate) fn out(address: u64, length: u32) -> Piece {
    Piece {
        address,
        length,
        writable: false,
    }
}

/// Device-writable.
pub(crate) fn into(address: u64, length: u32) -> Piece {
    Piece {
        address,
        length,
        writable: true,
    }
}

/// A split virtqueue from the driver's side. Rings lie from `base` on, 16 KiB in all for up to 256 entries.
#[derive(Debug)]
pub(crate) struct DriverRing {
    memory: GuestRam,
    pub(crate) size: u16,
    pub(crate) table: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
    pub(crate) next_descriptor: u16,
    next_available: u16,
    next_used: u16,
}

impl DriverRing {
    pub(crate) fn new(memory: &GuestRam, base: u64, size: u16) -> Self {
        let zeroes = vec![0; 0x4000];
        let place = GuestAddress(base);
        memory.write_slice(&zeroes, place).expect("clear the rings");
        Self {
            memory: memory.clone(),
            size,
            table: base,
            available: base + 0x1000,
            used: base + 0x2000,
            next_descriptor: 0,
            next_available: 0,
            next_used: 0,
        }
    }

    /// The device's view of it, for tests without a transport.
    pub(crate) fn queue(&self, event_idx: bool) -> Queue {
        let mut queue = Queue::new(256).expect("256 is a queue size");
        let set = queue.try_set_desc_table_address(GuestAddress(self.table));
        set.expect("table is aligned");
        let set = queue.try_set_avail_ring_address(GuestAddress(self.available));
        set.expect("available ring is aligned");
        let set = queue.try_set_used_ring_address(GuestAddress(self.used));
        set.expect("used ring is aligned");
        queue.set_size(self.size);
        queue.set_event_idx(event_idx);
        queue.set_ready(true);
        queue
    }

    /// Writes one descriptor of the queue's own table.
    pub(crate) fn descriptor(&self, index: u16, piece: (u64, u32), flags: u16, next: u16) {
        let address = self.table + u64::from(index) * 16;
        write_descriptor(&self.memory, address, piece, flags, next);
    }

    /// Makes a chain available by its head.
    pub(crate) fn offer(&mut self, head: u16) {
        let slot = u64::from(self.next_available % self.size);
        self.write(self.available + 4 + slot * 2, head);
        self.next_available = self.next_available.wrapping_add(1);
        self.write(self.available + 2, self.next_available);
    }

    /// Makes a request available; its descriptors follow the last request's, round and round.
    pub(crate) fn request(&mut self, pieces: &[Piece]) -> u16 {
        let head = self.next_descriptor;
        for (at, piece) in pieces.iter().enumerate() {
            let index = self.next_descriptor;
            self.next_descriptor = (index + 1) % self.size;
            let last = at + 1 == pieces.len();
            let flags = flags(piece, last);
            self.descriptor(
                index,
                (piece.address, piece.length),
                flags,
                self.next_descriptor,
            );
        }
        self.offer(head);
        head
    }

    /// The same by one indirect descriptor with its table at `table`.
    pub(crate) fn request_indirect(&mut self, table: u64, pieces: &[Piece]) -> u16 {
        for (index, piece) in (0_u16..).zip(pieces) {
            let last = usize::from(index) + 1 == pieces.len();
            let address = table + u64::from(index) * 16;
            let bytes = (piece.address, piece.length);
            write_descriptor(&self.memory, address, bytes, flags(piece, last), index + 1);
        }
        let head = self.next_descriptor;
        self.next_descriptor = (head + 1) % self.size;
        let length = u32::try_from(pieces.len() * 16).expect("a short list");
        self.descriptor(head, (table, length), INDIRECT, 0);
        self.offer(head);
        head
    }

    /// The next request that the device gave back, with the number of bytes it wrote.
    pub(crate) fn take_used(&mut self) -> Option<(u32, u32)> {
        let index: u16 = self.read(self.used + 2);
        if index == self.next_used {
            return None;
        }
        let slot = self.used + 4 + u64::from(self.next_used % self.size) * 8;
        self.next_used = self.next_used.wrapping_add(1);
        Some((self.read(slot), self.read(slot + 4)))
    }

    /// With EVENT_IDX: interrupt me when the entry of this index is used.
    pub(crate) fn set_used_event(&self, index: u16) {
        self.write(self.available + 4 + u64::from(self.size) * 2, index);
    }

    /// With EVENT_IDX: the device wants to be notified of this entry.
    pub(crate) fn avail_event(&self) -> u16 {
        self.read(self.used + 4 + u64::from(self.size) * 8)
    }

    /// Without EVENT_IDX: the flags of the available ring.
    pub(crate) fn set_available_flags(&self, flags: u16) {
        self.write(self.available, flags);
    }

    /// The available index as a hostile driver sets it.
    pub(crate) fn set_available_index(&self, index: u16) {
        self.write(self.available + 2, index);
    }

    fn write(&self, address: u64, value: u16) {
        let stored = self
            .memory
            .store(value.to_le(), GuestAddress(address), Ordering::SeqCst);
        stored.expect("rings lie in memory");
    }

    fn read<T: vm_memory::ByteValued>(&self, address: u64) -> T {
        let read = self.memory.read_obj(GuestAddress(address));
        read.expect("rings lie in memory")
    }
}

fn flags(piece: &Piece, last: bool) -> u16 {
    let write = if piece.writable { WRITE } else { 0 };
    let next = if last { 0 } else { NEXT };
    write | next
}

fn write_descriptor(memory: &GuestRam, at: u64, piece: (u64, u32), flags: u16, next: u16) {
    let mut bytes = Vec::with_capacity(16);
    bytes.extend(piece.0.to_le_bytes());
    bytes.extend(piece.1.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(next.to_le_bytes());
    let written = memory.write_slice(&bytes, GuestAddress(at));
    written.expect("tables lie in memory");
}
