//! What a function asks of its device. Main type: [`Hardware`], which [`Device`](super::Device) is, and which tests replace.

use std::{fmt::Debug, io, ops::Range, os::fd::BorrowedFd};

use super::Mapping;

/// Number of a region: BARs 0 to 5, then ROM (6) and configuration space (7).
pub(super) type RegionIndex = u32;

/// The region of configuration space (VFIO_PCI_CONFIG_REGION_INDEX).
pub(super) const CONFIG: RegionIndex = 7;

/// One region of a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Region {
    /// Bytes; 0 where there is none.
    pub size: u64,
    /// What of it can be mapped into this process.
    pub mappable: Vec<Range<u64>>,
}

/// A way to interrupt. A function uses one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// MSI.
    Msi,
    /// MSI-X.
    MsiX,
}

/// One function of the host, open. A trait because no test has an IOMMU.
pub trait Hardware: Send + Debug {
    /// Its address on the host, for errors.
    fn name(&self) -> &str;

    /// Size of a region and what of it can be mapped.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn region(&self, index: u32) -> io::Result<Region>;

    /// Reads all of `data`.
    ///
    /// # Errors
    /// When the region ends before, or the device does not answer.
    fn read(&self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data`.
    ///
    /// # Errors
    /// As for reading.
    fn write(&self, region: u32, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Maps a part of a region that can be.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn map(&self, region: u32, part: &Range<u64>) -> io::Result<Mapping>;

    /// How many interrupts of this kind it has.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn signals(&self, signal: Signal) -> io::Result<u32>;

    /// Has the interrupts written to these eventfds, in order; with none, the kind is switched off. It has to be off before.
    ///
    /// # Errors
    /// When the kernel has not that many interrupts left.
    fn signal(&self, signal: Signal, eventfds: &[BorrowedFd<'_>]) -> io::Result<()>;

    /// Resets it, where it can be.
    ///
    /// # Errors
    /// When the reset fails.
    fn reset(&self) -> io::Result<()>;
}
