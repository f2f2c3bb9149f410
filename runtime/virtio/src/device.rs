//! One virtio device, whatever the transport. Main type: [`Device`]. The transport calls it under the board's lock on a
//! processor's thread; the device's work on its queues is done by a [`Backend`] elsewhere.

use std::fmt::Debug;

use machine::memory::GuestRam;
use thiserror::Error;

use crate::backend::{Backend, Kick, Notifier};

/// Virtio device ids (virtio 1.3, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceId {
    /// Section 5.1.
    Network,
    /// Section 5.2.
    Block,
    /// Section 5.4.
    Entropy,
    /// Section 5.10.
    Socket,
    /// Section 5.11.
    FileSystem,
}

impl DeviceId {
    /// As the specification numbers it.
    pub fn number(self) -> u16 {
        match self {
            Self::Network => 1,
            Self::Block => 2,
            Self::Entropy => 4,
            Self::Socket => 19,
            Self::FileSystem => 26,
        }
    }
}

/// What a device is made of before the guest's driver is ready.
pub trait Device: Send + Debug {
    /// What it is.
    fn id(&self) -> DeviceId;

    /// Device features offered, without the transport's (VERSION_1, EVENT_IDX and INDIRECT_DESC are the transport's to add).
    fn features(&self) -> u64;

    /// Largest size of each queue; its length is the number of queues.
    fn queue_sizes(&self) -> &[u16];

    /// Reads device configuration. Bytes past its end read as zero; `data` comes in zeroed.
    fn config_read(&self, offset: u64, data: &mut [u8]);

    /// The driver has set DRIVER_OK: makes the backend that works on these queues. Called once between resets.
    ///
    /// # Errors
    /// When the driver's set-up can't be worked with; the transport then sets DEVICE_NEEDS_RESET.
    fn activate(&mut self, activation: Activation) -> Result<Box<dyn Backend>, ActivateError>;
}

/// What the driver has set up.
#[derive(Debug)]
pub struct Activation {
    /// The guest's memory.
    pub memory: GuestRam,
    /// Features that both sides agreed on, the transport's included.
    pub features: u64,
    /// The queues, in the device's order. One that the driver did not enable is `None`.
    pub queues: Vec<Option<ActiveQueue>>,
    /// Tells the driver that device configuration changed.
    pub config_changed: Notifier,
}

/// One queue that the driver enabled.
#[derive(Debug)]
pub struct ActiveQueue {
    /// Its rings, checked to lie in guest memory.
    pub queue: virtio_queue::Queue,
    /// Readable when the driver has notified.
    pub kick: Kick,
    /// Interrupts the driver for this queue.
    pub notifier: Notifier,
}

/// Why a device can't work with the driver's set-up.
#[derive(Debug, Error)]
pub enum ActivateError {
    /// A queue that the device can't do without.
    #[error("the driver did not enable queue {index}")]
    QueueMissing {
        /// Number of the queue.
        index: usize,
    },
    /// Something of the host that the backend needs.
    #[error("set up the {id:?} device's backend")]
    Host {
        /// Which device.
        id: DeviceId,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
}
