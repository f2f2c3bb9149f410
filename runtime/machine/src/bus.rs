//! What answers a processor's port and memory accesses. Main type: [`BusDevice`]. `board` owns the devices; PCI functions
//! are reached through `pci`.

use std::fmt::Debug;

/// A device at a range of ports or guest addresses.
///
/// Called on the thread of the processor that made the access, under the board's lock: an implementation returns at once
/// and never waits for the guest.
pub trait BusDevice: Send + Debug {
    /// Fills `data` (1, 2, 4 or 8 bytes) with what a read at `offset` from the start of the range returns. What the device
    /// does not have reads as all ones; `data` comes in filled with 0xff.
    fn read(&mut self, offset: u64, data: &mut [u8]);

    /// Takes a write of `data` (1, 2, 4 or 8 bytes). What the device does not have ignores it.
    fn write(&mut self, offset: u64, data: &[u8]);
}
