//! The common configuration registers (virtio 1.3, section 4.1.4.3): features, status, queues. Main type: [`Registers`]. It only keeps
//! registers and decides; what a write means for the rest of the device comes back as an [`Effect`]. Above: the transport.

#[cfg(test)]
mod tests;

use machine::memory::GuestRam;
use virtio_bindings::{
    virtio_config::VIRTIO_F_VERSION_1,
    virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC},
};
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestAddress;

use super::{
    signal::NO_VECTOR,
    status::{self, DRIVER, DRIVER_OK, FEATURES_OK, Step},
};

/// Bytes of the registers: up to `queue_device`. What comes after belongs to features that are not offered.
pub(super) const BYTES: u32 = 56;

const DEVICE_FEATURE_SELECT: u64 = 0;
const DEVICE_FEATURE: u64 = 4;
const DRIVER_FEATURE_SELECT: u64 = 8;
const DRIVER_FEATURE: u64 = 12;
const CONFIG_VECTOR: u64 = 16;
const QUEUE_COUNT: u64 = 18;
const STATUS: u64 = 20;
const GENERATION: u64 = 21;
const QUEUE_SELECT: u64 = 22;
const QUEUE_SIZE: u64 = 24;
const QUEUE_VECTOR: u64 = 26;
const QUEUE_ENABLE: u64 = 28;
const QUEUE_NOTIFY_OFFSET: u64 = 30;
const QUEUE_TABLE: u64 = 32;
const QUEUE_AVAILABLE: u64 = 40;
const QUEUE_USED: u64 = 48;

/// The registers.
#[derive(Debug)]
pub(super) struct Registers {
    offered: u64,
    chosen: u64,
    offered_select: u32,
    chosen_select: u32,
    status: u8,
    /// How many MSI-X vectors there are to choose from.
    vectors: u16,
    config_vector: u16,
    queue_select: u16,
    queues: Vec<QueueRegisters>,
}

/// What is kept per queue.
#[derive(Debug, Clone)]
struct QueueRegisters {
    most: u16,
    size: u16,
    vector: u16,
    enabled: bool,
    table: u64,
    available: u64,
    used: u64,
}

/// What a write means beyond the registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    /// Stop, and forget everything.
    Reset,
    /// The driver is ready: start to work.
    Start,
    ConfigVector(u16),
    QueueVector {
        queue: usize,
        vector: u16,
    },
}

/// Registers that others change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    /// NEEDS_RESET or nothing.
    pub(super) status: u8,
    pub(super) generation: u8,
}

impl Registers {
    /// Registers of a device with these features and queues, before any driver.
    pub(super) fn new(device_features: u64, queue_sizes: &[u16], vectors: u16) -> Self {
        let transport = [
            VIRTIO_F_VERSION_1,
            VIRTIO_RING_F_EVENT_IDX,
            VIRTIO_RING_F_INDIRECT_DESC,
        ];
        let offered = transport
            .iter()
            .fold(device_features, |features, bit| features | 1 << bit);
        let queues = queue_sizes.iter().map(|most| QueueRegisters::new(*most));
        Self {
            offered,
            chosen: 0,
            offered_select: 0,
            chosen_select: 0,
            status: 0,
            vectors,
            config_vector: NO_VECTOR,
            queue_select: 0,
            queues: queues.collect(),
        }
    }

    /// Back to before any driver.
    pub(super) fn reset(&mut self) {
        let sizes: Vec<u16> = self.queues.iter().map(|queue| queue.most).collect();
        *self = Self::new(self.offered, &sizes, self.vectors);
    }

    /// What both sides agreed on.
    pub(super) fn features(&self) -> u64 {
        self.chosen
    }

    /// Is the device meant to work?
    pub(super) fn started(&self) -> bool {
        self.status & DRIVER_OK != 0
    }

    /// The queues as the driver set them up. `None` for those that it did not enable.
    pub(super) fn queues(&self, memory: &GuestRam) -> impl Iterator<Item = Option<Queue>> {
        let event_idx = self.chosen & 1 << VIRTIO_RING_F_EVENT_IDX != 0;
        self.queues.iter().map(move |registers| {
            let queue = registers
                .enabled
                .then(|| registers.queue(memory, event_idx));
            queue.flatten()
        })
    }

    /// Reads registers; bytes past their end are zero. Reading changes nothing here.
    pub(super) fn read(&self, offset: u64, data: &mut [u8], live: Live) {
        for (byte, at) in data.iter_mut().zip(offset..) {
            *byte = self.byte(at, live);
        }
    }

    /// Takes a write of one register, or one half of an address. Other widths and what is read-only are ignored.
    pub(super) fn write(&mut self, offset: u64, data: &[u8], memory: &GuestRam) -> Effect {
        match *data {
            [value] if offset == STATUS => self.write_status(value),
            [a, b] => self.write_16(offset, u16::from_le_bytes([a, b]), memory),
            [a, b, c, d] => {
                self.write_32(offset, u32::from_le_bytes([a, b, c, d]));
                Effect::None
            }
            [a, b, c, d, e, f, g, h] if offset >= QUEUE_TABLE => {
                self.write_32(offset, u32::from_le_bytes([a, b, c, d]));
                self.write_32(offset + 4, u32::from_le_bytes([e, f, g, h]));
                Effect::None
            }
            _ => Effect::None,
        }
    }

    fn byte(&self, at: u64, live: Live) -> u8 {
        let queue = self.selected();
        let of_queue = |field: fn(&QueueRegisters) -> u64| queue.map_or(0, field);
        let (start, value) = match at {
            DEVICE_FEATURE_SELECT..DEVICE_FEATURE => (0, u64::from(self.offered_select)),
            DEVICE_FEATURE..DRIVER_FEATURE_SELECT => {
                (DEVICE_FEATURE, half(self.offered, self.offered_select))
            }
            DRIVER_FEATURE_SELECT..DRIVER_FEATURE => {
                (DRIVER_FEATURE_SELECT, u64::from(self.chosen_select))
            }
            DRIVER_FEATURE..CONFIG_VECTOR => {
                (DRIVER_FEATURE, half(self.chosen, self.chosen_select))
            }
            CONFIG_VECTOR..QUEUE_COUNT => (CONFIG_VECTOR, u64::from(self.config_vector)),
            QUEUE_COUNT..STATUS => {
                let count = u16::try_from(self.queues.len()).unwrap_or(u16::MAX);
                (QUEUE_COUNT, u64::from(count))
            }
            STATUS => (STATUS, u64::from(self.status | live.status)),
            GENERATION => (GENERATION, u64::from(live.generation)),
            QUEUE_SELECT..QUEUE_SIZE => (QUEUE_SELECT, u64::from(self.queue_select)),
            // Of a queue that does not exist everything is 0; its size says so.
            QUEUE_SIZE..QUEUE_VECTOR => (QUEUE_SIZE, of_queue(|queue| queue.size.into())),
            QUEUE_VECTOR..QUEUE_ENABLE => (QUEUE_VECTOR, of_queue(|queue| queue.vector.into())),
            QUEUE_ENABLE..QUEUE_NOTIFY_OFFSET => {
                (QUEUE_ENABLE, of_queue(|queue| queue.enabled.into()))
            }
            QUEUE_NOTIFY_OFFSET..QUEUE_TABLE => {
                let offset = queue.map_or(0, |_| self.queue_select);
                (QUEUE_NOTIFY_OFFSET, u64::from(offset))
            }
            QUEUE_TABLE..QUEUE_AVAILABLE => (QUEUE_TABLE, of_queue(|queue| queue.table)),
            QUEUE_AVAILABLE..QUEUE_USED => (QUEUE_AVAILABLE, of_queue(|queue| queue.available)),
            QUEUE_USED..56 => (QUEUE_USED, of_queue(|queue| queue.used)),
            _ => (at, 0),
        };
        let [byte, ..] = (value >> ((at - start) * 8)).to_le_bytes();
        byte
    }

    fn write_status(&mut self, value: u8) -> Effect {
        match status::step(self.status, value, self.features_fit()) {
            Step::Reset => Effect::Reset,
            Step::To(status) => {
                self.status = status;
                Effect::None
            }
            Step::Start(status) => {
                self.status = status;
                Effect::Start
            }
            Step::Refused => Effect::None,
        }
    }

    fn write_16(&mut self, offset: u64, value: u16, memory: &GuestRam) -> Effect {
        match offset {
            CONFIG_VECTOR => {
                self.config_vector = self.vector(value);
                return Effect::ConfigVector(self.config_vector);
            }
            QUEUE_SELECT => self.queue_select = value,
            QUEUE_VECTOR => return self.choose_queue_vector(value),
            QUEUE_SIZE => {
                if let Some(queue) = self.configurable() {
                    queue.resize(value);
                }
            }
            // Section 4.1.4.3.2: the driver never writes 0 here.
            QUEUE_ENABLE if value == 1 && self.status & FEATURES_OK != 0 => {
                if let Some(queue) = self.configurable() {
                    queue.enabled = queue.queue(memory, false).is_some();
                }
            }
            _ => {}
        }
        Effect::None
    }

    fn write_32(&mut self, offset: u64, value: u32) {
        match offset {
            DEVICE_FEATURE_SELECT => self.offered_select = value,
            DRIVER_FEATURE_SELECT => self.chosen_select = value,
            DRIVER_FEATURE => self.choose_features(value),
            _ => {
                if let Some(queue) = self.configurable() {
                    queue.place(offset, value);
                }
            }
        }
    }

    /// Features can be chosen between DRIVER and FEATURES_OK (section 3.1.1).
    fn choose_features(&mut self, value: u32) {
        if self.status & (DRIVER | FEATURES_OK) != DRIVER {
            return;
        }
        let shift = match self.chosen_select {
            0 => 0,
            1 => 32,
            _ => return,
        };
        let mask = u64::from(u32::MAX) << shift;
        self.chosen = self.chosen & !mask | u64::from(value) << shift;
    }

    /// Only what was offered, and no legacy driver.
    fn features_fit(&self) -> bool {
        self.chosen & !self.offered == 0 && self.chosen & 1 << VIRTIO_F_VERSION_1 != 0
    }

    fn choose_queue_vector(&mut self, value: u16) -> Effect {
        let vector = self.vector(value);
        let index = usize::from(self.queue_select);
        let Some(queue) = self.queues.get_mut(index) else {
            return Effect::None;
        };
        queue.vector = vector;
        Effect::QueueVector {
            queue: index,
            vector,
        }
    }

    /// A vector that there is, or none, which the driver reads back (section 4.1.5.1.2).
    fn vector(&self, value: u16) -> u16 {
        if value < self.vectors {
            value
        } else {
            NO_VECTOR
        }
    }

    fn selected(&self) -> Option<&QueueRegisters> {
        self.queues.get(usize::from(self.queue_select))
    }

    /// The selected queue, as long as it may be set up: not after it was enabled, nor when the device works.
    fn configurable(&mut self) -> Option<&mut QueueRegisters> {
        let started = self.started();
        let queue = self.queues.get_mut(usize::from(self.queue_select))?;
        (!started && !queue.enabled).then_some(queue)
    }
}

impl QueueRegisters {
    fn new(most: u16) -> Self {
        Self {
            most,
            size: most,
            vector: NO_VECTOR,
            enabled: false,
            table: 0,
            available: 0,
            used: 0,
        }
    }

    fn resize(&mut self, size: u16) {
        if size.is_power_of_two() && size <= self.most {
            self.size = size;
        }
    }

    /// Writes one half of one address.
    fn place(&mut self, offset: u64, value: u32) {
        let address = match offset & !7 {
            QUEUE_TABLE => &mut self.table,
            QUEUE_AVAILABLE => &mut self.available,
            QUEUE_USED => &mut self.used,
            _ => return,
        };
        let shift = match offset % 8 {
            0 => 0,
            4 => 32,
            _ => return,
        };
        let mask = u64::from(u32::MAX) << shift;
        *address = *address & !mask | u64::from(value) << shift;
    }

    /// The queue, if its rings are aligned and lie in guest memory.
    fn queue(&self, memory: &GuestRam, event_idx: bool) -> Option<Queue> {
        let mut queue = Queue::new(self.most).ok()?;
        queue.try_set_size(self.size).ok()?;
        let table = GuestAddress(self.table);
        queue.try_set_desc_table_address(table).ok()?;
        let available = GuestAddress(self.available);
        queue.try_set_avail_ring_address(available).ok()?;
        queue
            .try_set_used_ring_address(GuestAddress(self.used))
            .ok()?;
        queue.set_event_idx(event_idx);
        queue.set_ready(true);
        // virtio-queue takes address 0 for "not set".
        (self.available != 0 && queue.is_valid(memory)).then_some(queue)
    }
}

/// One half of the feature bits; there are no more than two.
fn half(features: u64, select: u32) -> u64 {
    match select {
        0 => features & u64::from(u32::MAX),
        1 => features >> 32,
        _ => 0,
    }
}
