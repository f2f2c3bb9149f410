//! A guest made of fuzz bytes: memory with a ring of its choice in it. Main type: [`Guest`]. The virtio targets use it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use machine::memory::GuestRam;
use virtio::backend::{Interrupt, Notifier};
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

/// Two regions with a hole, small enough that fuzz bytes reach all of it.
const REGIONS: [(GuestAddress, usize); 2] =
    [(GuestAddress(0), 0x2000), (GuestAddress(0x3000), 0x1000)];

/// Bytes in front of the memory's content: ring places and options.
const HEADER_BYTES: usize = 8;

/// Largest queue, as a disk has it.
const MOST_ENTRIES: u16 = 256;

/// Memory and a queue that was enabled in it.
#[derive(Debug)]
pub struct Guest {
    pub memory: GuestRam,
    pub queue: Queue,
    pub notifier: Notifier,
}

#[derive(Debug, Default)]
struct Bell(AtomicU32);

impl Interrupt for Bell {
    fn trigger(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Guest {
    /// The guest that these bytes describe; none when the transport would not have enabled its queue.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        static MEMORY: OnceLock<GuestRam> = OnceLock::new();
        let memory = MEMORY.get_or_init(|| GuestRam::from_ranges(&REGIONS).expect("map memory"));
        let (header, mut rest) = bytes.split_at_checked(HEADER_BYTES)?;
        for (start, length) in REGIONS {
            let mut content = vec![0; length];
            let (now, later) = rest.split_at(rest.len().min(length));
            content[..now.len()].copy_from_slice(now);
            rest = later;
            memory.write_slice(&content, start).expect("it is memory");
        }
        let [
            options,
            size,
            table,
            table_page,
            available,
            available_page,
            used,
            used_page,
        ] = *header
        else {
            return None;
        };
        // Zeroes are an honest driver's empty ring: the fuzzer starts from there.
        let place = |page: u64, moved: u8, slot: u8, unit: u64| {
            GuestAddress((page + u64::from(moved)) % 5 * 0x1000 + u64::from(slot) * unit)
        };
        let mut queue = Queue::new(MOST_ENTRIES).ok()?;
        queue.try_set_size(1 << (size % 9)).ok()?;
        queue
            .try_set_desc_table_address(place(0, table_page, table, 16))
            .ok()?;
        queue
            .try_set_avail_ring_address(place(1, available_page, available, 2))
            .ok()?;
        queue
            .try_set_used_ring_address(place(3, used_page, used, 4))
            .ok()?;
        queue.set_event_idx(options & 1 == 1);
        queue.set_ready(true);
        queue.is_valid(memory).then(|| Self {
            memory: memory.clone(),
            queue,
            notifier: Notifier(Arc::new(Bell::default())),
        })
    }
}
