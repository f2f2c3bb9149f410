//! A disk (virtio 1.3, section 5.2). Main type: [`Disk`]. Below: [`layout`] says where a disk's bytes lie in files, `request`
//! decides what a request asks for, `serve` does it. Above: the transport; the monitor gives it open files.
//!
//! Disks are raw, always: no format is looked for in what the guest may have written.

mod clear;
mod growth;
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
pub use growth::{GrowError, Growth};
use layout::{Layout, LayoutError, Segment};

/// Bytes of a sector, whatever the block size (section 5.2.4).
pub(crate) const SECTOR_BYTES: u64 = 512;

/// Bytes of the smallest logical block that a disk has: a sector.
const SMALLEST_BLOCK_BYTES: u32 = 512;

/// Bytes of the device's configuration up to the fields of WRITE_ZEROES.
const CONFIG_BYTES: usize = 60;

/// Bytes of a disk's identity (section 5.2.6).
const IDENTITY_BYTES: usize = 20;

/// A block device of the host behind a disk, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockDevice {
    /// Bytes of its logical block, a power of two from 512 to 4096: what it reads and writes is a multiple.
    pub block_bytes: u32,
    /// It takes discards, best of multiples of this many bytes; 0 is none.
    pub discard_bytes: u32,
    /// It writes zeroes by itself, without being sent them.
    pub writes_zeroes: bool,
}

/// What is behind a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    /// What is cleared there becomes a hole.
    Files,
    BlockDevice(BlockDevice),
}

/// May the guest write?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writes fail, and no feature that needs them is offered.
    ReadOnly,
    /// The disk is one file, which may be sparse: what the guest discards becomes a hole. Or a block device.
    Writable,
}

/// A disk before and between its times of work.
#[derive(Debug)]
pub struct Disk {
    layout: Arc<Layout>,
    access: Access,
    identity: Identity,
    storage: Storage,
    growth: Growth,
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
    /// No device's.
    #[error("make a disk with blocks of {bytes} bytes (512, 1024, 2048 or 4096)")]
    Blocks {
        /// What was given.
        bytes: u32,
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
        Self::over(layout, access, identity, Storage::Files)
    }

    /// A disk that is the first `length` bytes of a block device, which stays open as long as the disk lives.
    ///
    /// # Errors
    /// When the device is shorter, its blocks are no disk's, or it is not open for the access.
    pub fn of_block_device(
        (file, length): (File, u64),
        device: BlockDevice,
        access: Access,
        identity: Identity,
    ) -> Result<Self, DiskError> {
        let bytes = device.block_bytes;
        let most = limits::DISK_BLOCK_BYTES;
        if !bytes.is_power_of_two() || !(SMALLEST_BLOCK_BYTES..=most).contains(&bytes) {
            return Err(DiskError::Blocks { bytes });
        }
        let layout = Layout::whole(file, length, u64::from(bytes))?;
        Self::over(layout, access, identity, Storage::BlockDevice(device))
    }

    fn over(
        layout: Layout,
        access: Access,
        identity: Identity,
        storage: Storage,
    ) -> Result<Self, DiskError> {
        if !layout.files().all(|file| access.allowed_by(file)) {
            return Err(DiskError::FileMode { access });
        }
        let layout = Arc::new(layout);
        let growth = Growth::new(Arc::clone(&layout), storage);
        Ok(Self {
            layout,
            access,
            identity,
            storage,
            growth,
        })
    }

    /// Lets the disk grow, whoever has the disk.
    pub fn growth(&self) -> Growth {
        self.growth.clone()
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
        let (block_bytes, discard_bytes) = match self.storage {
            // Holes are made of whole blocks of the file system, usually 4 KiB.
            Storage::Files => (SMALLEST_BLOCK_BYTES, limits::DISK_BLOCK_BYTES),
            Storage::BlockDevice(device) => (device.block_bytes, device.discard_bytes),
        };
        put(20, &block_bytes.to_le_bytes());
        // Physical blocks of 4 KiB, and no I/O smaller than one is good: logical blocks of 512 bytes still work, for file
        // systems that were made on such disks.
        let blocks = limits::DISK_BLOCK_BYTES / block_bytes;
        let [exponent, ..] = blocks.ilog2().to_le_bytes();
        put(24, &[exponent, 0]);
        put(26, &blocks.to_le_bytes()[..2]);
        if self.access == Access::Writable {
            for (offset, value) in [
                (36, limits::DISK_SECTORS_PER_RANGE),
                (40, limits::DISK_RANGES_PER_REQUEST),
                (44, (discard_bytes / SMALLEST_BLOCK_BYTES).max(1)),
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
        let (discards, writes_zeroes) = match self.storage {
            Storage::Files => (true, true),
            Storage::BlockDevice(device) => (device.discard_bytes > 0, device.writes_zeroes),
        };
        let writable = self.access == Access::Writable;
        let some = [
            (!writable, VIRTIO_BLK_F_RO),
            (writable, VIRTIO_BLK_F_FLUSH),
            (writable && discards, VIRTIO_BLK_F_DISCARD),
            (writable && writes_zeroes, VIRTIO_BLK_F_WRITE_ZEROES),
        ];
        let some = some.iter().filter(|(has, _)| *has).map(|(_, bit)| bit);
        let bits = always.iter().chain(some);
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
            config_changed,
        } = activation;
        let queue = queues.get_mut(0).and_then(Option::take);
        let queue = queue.ok_or(ActivateError::QueueMissing { index: 0 })?;
        let (ring, kick) = Ring::new(0, memory, queue);
        self.growth.driven_by(config_changed);
        let job = serve::Job {
            layout: Arc::clone(&self.layout),
            access: self.access,
            identity: self.identity,
            storage: self.storage,
            features,
        };
        Ok(Box::new(serve::DiskBackend::new(job, ring, kick)))
    }
}
