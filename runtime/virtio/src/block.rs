//! A disk (virtio 1.3, section 5.2). Main type: [`Disk`]. Below: [`layout`] says where a disk's bytes lie in files, `request`
//! decides what a request asks for, `serve` does it. Above: the transport; the monitor gives it open files.
//!
//! Disks are raw, always: no format is looked for in what the guest may have written.

pub mod layout;
mod request;
mod serve;

#[cfg(test)]
mod tests;

use std::{fs::File, sync::Arc};

use rustix::fs::{OFlags, fcntl_getfl};
use thiserror::Error;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO,
    VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_WRITE_ZEROES,
};

use crate::{
    backend::Backend,
    device::{ActivateError, Activation, Device, DeviceId},
    limits,
    queue::Ring,
};
use layout::{Layout, LayoutError, Segment};

/// Bytes of a sector, whatever the block size (section 5.2.4).
pub(crate) const SECTOR_BYTES: u64 = 512;

/// Bytes of the device's configuration up to the fields of WRITE_ZEROES.
const CONFIG_BYTES: usize = 60;

/// Bytes of a disk's identity (section 5.2.6).
const IDENTITY_BYTES: usize = 20;

/// May the guest write?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writes fail, and no feature that needs them is offered.
    ReadOnly,
    /// The disk is one file, which may be sparse: what the guest discards becomes a hole.
    Writable,
}

/// A disk before and between its times of work.
#[derive(Debug)]
pub struct Disk {
    layout: Arc<Layout>,
    access: Access,
    identity: Identity,
}

/// What the guest sees as the disk's serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity([u8; IDENTITY_BYTES]);

/// Why these are no disk.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The files don't make one.
    #[error("lay out the disk")]
    Layout(#[from] LayoutError),
    /// Discarding and zeroing work on one file.
    #[error("make a writable disk of {count} segments (it takes one)")]
    SegmentsOfWritable {
        /// How many were given.
        count: usize,
    },
    /// Found out now rather than by the guest's first write.
    #[error("use the files given for a {access:?} disk: one is not open for that")]
    FileMode {
        /// What the disk should be.
        access: Access,
    },
    /// It has 20 bytes, and Linux shows it as text.
    #[error("name a disk {identity:?} (1 to 20 printable ASCII characters)")]
    Identity {
        /// What was given.
        identity: String,
    },
}

impl Access {
    fn allowed_by(self, file: &File) -> bool {
        let mode = fcntl_getfl(file).map(|flags| flags & OFlags::ACCMODE);
        match self {
            Self::ReadOnly => mode.is_ok_and(|mode| mode != OFlags::WRONLY),
            Self::Writable => mode == Ok(OFlags::RDWR),
        }
    }
}

impl Identity {
    /// Takes a name that the guest sees.
    ///
    /// # Errors
    /// When it is empty, longer than 20 bytes, or not printable ASCII.
    pub fn new(name: &str) -> Result<Self, DiskError> {
        let mut bytes = [0; IDENTITY_BYTES];
        let printable = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let place = bytes.get_mut(..name.len()).filter(|_place| printable);
        let place = place.ok_or_else(|| DiskError::Identity {
            identity: name.to_owned(),
        })?;
        place.copy_from_slice(name.as_bytes());
        Ok(Self(bytes))
    }
}

impl Disk {
    /// A disk over files that stay open as long as it lives.
    ///
    /// # Errors
    /// When the segments don't fit their files or a disk's blocks, a writable disk has more than one, or a file is not open for it.
    pub fn new(
        segments: Vec<Segment>,
        access: Access,
        identity: Identity,
    ) -> Result<Self, DiskError> {
        if access == Access::Writable && segments.len() != 1 {
            return Err(DiskError::SegmentsOfWritable {
                count: segments.len(),
            });
        }
        let layout = Layout::new(segments)?;
        if !layout.files().all(|file| access.allowed_by(file)) {
            return Err(DiskError::FileMode { access });
        }
        Ok(Self {
            layout: Arc::new(layout),
            access,
            identity,
        })
    }

    fn config(&self) -> [u8; CONFIG_BYTES] {
        let mut config = [0; CONFIG_BYTES];
        let mut put = |offset: usize, bytes: &[u8]| {
            if let Some(place) = config.get_mut(offset..offset + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(0, &(self.layout.length() / SECTOR_BYTES).to_le_bytes());
        // Header and status take a descriptor each; a chain may be as long as the queue.
        let segments = u32::from(limits::DISK_QUEUE_ENTRIES) - 2;
        put(12, &segments.to_le_bytes());
        put(20, &512_u32.to_le_bytes());
        // Physical blocks of 2^3 sectors, and no I/O smaller than a block is good: sectors of 512 bytes still work, for
        // file systems that were made on such disks.
        put(24, &[3, 0]);
        put(26, &8_u16.to_le_bytes());
        if self.access == Access::Writable {
            for (offset, value) in [
                (36, limits::DISK_SECTORS_PER_RANGE),
                (40, limits::DISK_RANGES_PER_REQUEST),
                // Holes are made of whole blocks of the file system, usually 4 KiB.
                (44, 8),
                (48, limits::DISK_SECTORS_PER_RANGE),
                (52, limits::DISK_RANGES_PER_REQUEST),
                // write_zeroes_may_unmap, a byte.
                (56, 1),
            ] {
                put(offset, &value.to_le_bytes());
            }
        }
        config
    }
}

impl Device for Disk {
    fn id(&self) -> DeviceId {
        DeviceId::Block
    }

    fn features(&self) -> u64 {
        let always = [
            VIRTIO_BLK_F_SEG_MAX,
            VIRTIO_BLK_F_BLK_SIZE,
            VIRTIO_BLK_F_TOPOLOGY,
        ];
        let by_access: &[u32] = match self.access {
            Access::ReadOnly => &[VIRTIO_BLK_F_RO],
            Access::Writable => &[
                VIRTIO_BLK_F_FLUSH,
                VIRTIO_BLK_F_DISCARD,
                VIRTIO_BLK_F_WRITE_ZEROES,
            ],
        };
        let bits = always.iter().chain(by_access);
        bits.fold(0, |features, bit| features | 1 << bit)
    }

    fn queue_sizes(&self) -> &[u16] {
        &[limits::DISK_QUEUE_ENTRIES]
    }

    fn config_read(&self, offset: u64, data: &mut [u8]) {
        let config = self.config();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = config.get(start..).unwrap_or_default();
        for (to, from) in data.iter_mut().zip(rest) {
            *to = *from;
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<Box<dyn Backend>, ActivateError> {
        let Activation {
            memory,
            features,
            mut queues,
            config_changed: _,
        } = activation;
        let queue = queues.get_mut(0).and_then(Option::take);
        let queue = queue.ok_or(ActivateError::QueueMissing { index: 0 })?;
        let (ring, kick) = Ring::new(0, memory, queue);
        let job = serve::Job {
            layout: Arc::clone(&self.layout),
            access: self.access,
            identity: self.identity,
            features,
        };
        Ok(Box::new(serve::DiskBackend::new(job, ring, kick)))
    }
}
