//! A block device of the host that grows under its disk: the disk learns it, and tells its driver (virtio 1.3, section 5.2.3: capacity may change).
//! Main type: [`Growth`]. Above: the monitor, which is told when to look. Beside it: [`Disk`](super::Disk), which has it.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use super::{
    Storage,
    layout::{Layout, LayoutError},
};
use crate::backend::Notifier;

/// A handle to a disk's length. Clones are of the same disk.
#[derive(Debug, Clone)]
pub struct Growth {
    layout: Arc<Layout>,
    storage: Storage,
    /// As the disk was made.
    made: u64,
    /// What tells the driver. Locked for a moment, by a processor's thread when the driver starts or by whoever looks.
    notifier: Arc<Mutex<Option<Notifier>>>,
}

/// Why a disk has not grown.
#[derive(Debug, Error)]
pub enum GrowError {
    /// What files make is as it was made.
    #[error("look whether the disk has grown: it is no block device of the host")]
    NoDevice,
    /// It can't be asked.
    #[error("look whether the block device has grown")]
    Length(#[source] LayoutError),
    /// The guest may have data and mounts past the new end: it is not told, and what it asks for there fails.
    #[error(
        "the block device has shrunk from {from} to {to} bytes: the guest keeps its size, and reads and writes past the new end fail"
    )]
    Shrunk {
        /// What the guest has.
        from: u64,
        /// What there is.
        to: u64,
    },
}

impl Growth {
    pub(super) fn new(layout: Arc<Layout>, storage: Storage) -> Self {
        Self {
            made: layout.length(),
            layout,
            storage,
            notifier: Arc::default(),
        }
    }

    /// Looks how large the device is, and tells the driver if it has grown. The disk's length in bytes.
    ///
    /// # Errors
    /// When it is none, can't be asked, or is smaller than the disk has been.
    pub fn look(&self) -> Result<u64, GrowError> {
        let Storage::BlockDevice(device) = self.storage else {
            return Err(GrowError::NoDevice);
        };
        let from = self.layout.length();
        let to = self.layout.grow(device.block_bytes.into());
        let to = to.map_err(GrowError::Length)?;
        if to < from {
            return Err(GrowError::Shrunk { from, to });
        }
        if to > from
            && let Some(notifier) = self.notifier().as_ref()
        {
            notifier.0.trigger();
        }
        Ok(to)
    }

    /// A driver has started. What it read before may be from before the disk grew: then it is told once more.
    pub(super) fn driven_by(&self, notifier: Notifier) {
        let mut place = self.notifier();
        let notifier = place.insert(notifier);
        if self.layout.length() > self.made {
            notifier.0.trigger();
        }
    }

    fn notifier(&self) -> MutexGuard<'_, Option<Notifier>> {
        self.notifier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
