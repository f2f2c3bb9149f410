//! Bus 0: 32 slots, the map from guest addresses to BARs, and the windows that BARs get their first addresses from. Main type:
//! [`PciRoot`]. `board` owns it and passes it the accesses to ECAM and to the windows.

use std::{collections::BTreeMap, fmt, ops::Range};

use thiserror::Error;

use super::{Bar, BarChange, PciFunction, bar, ecam::Target, host_bridge::HostBridge};
use crate::memory::{Layout, PCI_WINDOW_32};

/// Slots of a bus.
const SLOTS: u8 = 32;

/// Where a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciAddress {
    /// Bus number.
    pub bus: u8,
    /// Slot, 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

impl fmt::Display for PciAddress {
    /// As Linux names it under /sys/bus/pci/devices.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "0000:{:02x}:{:02x}.{}",
            self.bus, self.device, self.function
        )
    }
}

/// Where BARs may decode. An address outside decodes nothing, so that no BAR ever lies over RAM or an interrupt controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PciWindows {
    /// For 32-bit BARs.
    pub below_4_gib: Range<u64>,
    /// For 64-bit BARs.
    pub above_ram: Range<u64>,
}

impl From<&Layout> for PciWindows {
    fn from(layout: &Layout) -> Self {
        Self {
            below_4_gib: PCI_WINDOW_32,
            above_ram: layout.pci_window_64(),
        }
    }
}

/// The bus and what is on it.
#[derive(Debug)]
pub struct PciRoot {
    windows: PciWindows,
    slots: BTreeMap<u8, Box<dyn PciFunction>>,
    /// What decodes, by its first address. Ranges never overlap.
    decoded: BTreeMap<u64, Place>,
    /// The addresses last given to or chosen for each BAR: new functions keep away from them.
    claimed: BTreeMap<(u8, Bar), Range<u64>>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    slot: u8,
    bar: Bar,
    size: u64,
}

impl PciRoot {
    /// A bus with a host bridge in slot 0.
    #[must_use]
    pub fn new(windows: PciWindows) -> Self {
        let bridge: Box<dyn PciFunction> = Box::new(HostBridge::new());
        Self {
            windows,
            slots: BTreeMap::from([(0, bridge)]),
            decoded: BTreeMap::new(),
            claimed: BTreeMap::new(),
        }
    }

    /// Puts a function into the first free slot and gives its BARs addresses. It decodes nothing until the guest lets it.
    ///
    /// # Errors
    /// When the bus is full or a window has no room.
    pub fn add(&mut self, mut function: Box<dyn PciFunction>) -> Result<PciAddress, AddError> {
        let slot = (0..SLOTS)
            .find(|slot| !self.slots.contains_key(slot))
            .ok_or(AddError::BusFull)?;
        if let Err(error) = self.assign(slot, function.as_mut()) {
            self.claimed.retain(|(owner, _), _| *owner != slot);
            return Err(error);
        }
        self.slots.insert(slot, function);
        Ok(PciAddress {
            bus: 0,
            device: slot,
            function: 0,
        })
    }

    /// Takes a function off the bus; it has stopped when this returns.
    ///
    /// # Errors
    /// When there is none, or it is the host bridge.
    pub fn remove(&mut self, address: PciAddress) -> Result<Box<dyn PciFunction>, NoSuchFunction> {
        let slot = self
            .slot_of(address)
            .filter(|slot| *slot != 0)
            .ok_or(NoSuchFunction { address })?;
        let mut function = self.slots.remove(&slot).ok_or(NoSuchFunction { address })?;
        self.decoded.retain(|_, place| place.slot != slot);
        self.claimed.retain(|(owner, _), _| *owner != slot);
        function.unplug();
        Ok(function)
    }

    /// Takes every function off the bus, for the end of the machine.
    pub fn clear(&mut self) {
        self.decoded.clear();
        self.claimed.clear();
        for (_, mut function) in std::mem::take(&mut self.slots) {
            function.unplug();
        }
    }

    /// Reads configuration space at an offset into ECAM. Absent functions read as all ones.
    pub fn config_read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some((slot, register)) = target(offset, data.len())
            && let Some(function) = self.slots.get_mut(&slot)
        {
            function.config_read(register, data);
        }
    }

    /// Writes configuration space at an offset into ECAM, and moves the BARs that the write moved.
    pub fn config_write(&mut self, offset: u64, data: &[u8]) {
        if let Some((slot, register)) = target(offset, data.len())
            && let Some(function) = self.slots.get_mut(&slot)
        {
            let changes = function.config_write(register, data);
            let sizes = sizes(function.as_ref(), &changes);
            self.follow(slot, &changes, &sizes);
        }
    }

    /// Reads a BAR; false where none decodes.
    pub fn bar_read(&mut self, address: u64, data: &mut [u8]) -> bool {
        let Some((place, offset)) = self.find(address, data.len()) else {
            return false;
        };
        let function = self.slots.get_mut(&place.slot);
        function.is_some_and(|function| {
            function.bar_read(place.bar, offset, data);
            true
        })
    }

    /// Writes a BAR; false where none decodes.
    pub fn bar_write(&mut self, address: u64, data: &[u8]) -> bool {
        let Some((place, offset)) = self.find(address, data.len()) else {
            return false;
        };
        let function = self.slots.get_mut(&place.slot);
        function.is_some_and(|function| {
            function.bar_write(place.bar, offset, data);
            true
        })
    }

    fn slot_of(&self, address: PciAddress) -> Option<u8> {
        (address.bus == 0 && address.function == 0).then_some(address.device)
    }

    fn find(&self, address: u64, length: usize) -> Option<(Place, u64)> {
        let (start, place) = self.decoded.range(..=address).next_back()?;
        let offset = address - start;
        let end = offset.checked_add(u64::try_from(length).ok()?)?;
        (end <= place.size).then_some((*place, offset))
    }

    /// Lets the map and the function's doorbells follow what the guest wrote. The map is what counts: where a BAR can't decode
    /// (outside the windows, or over another one that was there first) the function hears that it decodes nowhere.
    fn follow(&mut self, slot: u8, changes: &[BarChange], sizes: &[u64]) {
        let mut moved = Vec::new();
        for (change, size) in changes.iter().zip(sizes) {
            let bar = change.bar;
            let from = self.forget(slot, bar);
            let to = change.to.filter(|address| self.is_free(*address, *size));
            if let Some(address) = to {
                self.decoded.insert(
                    address,
                    Place {
                        slot,
                        bar,
                        size: *size,
                    },
                );
                self.claimed.insert((slot, bar), address..address + size);
            }
            if from != to {
                moved.push(BarChange { bar, from, to });
            }
        }
        if let Some(function) = self.slots.get_mut(&slot) {
            moved
                .into_iter()
                .for_each(|change| function.bar_moved(change));
        }
    }

    fn forget(&mut self, slot: u8, bar: Bar) -> Option<u64> {
        let address = self
            .decoded
            .iter()
            .find(|(_, place)| place.slot == slot && place.bar == bar)
            .map(|(address, _)| *address)?;
        self.decoded.remove(&address);
        Some(address)
    }

    fn is_free(&self, address: u64, size: u64) -> bool {
        let Some(end) = address.checked_add(size) else {
            return false;
        };
        let inside = [&self.windows.below_4_gib, &self.windows.above_ram]
            .iter()
            .any(|window| window.start <= address && end <= window.end);
        let below = self.decoded.range(..end).next_back();
        inside && below.is_none_or(|(start, place)| start + place.size <= address)
    }

    /// Gives each BAR an address as firmware would: through its registers.
    fn assign(&mut self, slot: u8, function: &mut dyn PciFunction) -> Result<(), AddError> {
        for (bar, size, _) in function.bars() {
            let register = bar::register(bar);
            let mut low = [0; 4];
            function.config_read(register, &mut low);
            let wide = u32::from_le_bytes(low) & 0b110 == bar::WIDTH_64;
            let address = self
                .room_for(size, wide)
                .ok_or(AddError::WindowFull { bar: bar.0, size })?;
            self.claimed.insert((slot, bar), address..address + size);
            let bytes = address.to_le_bytes();
            let (low, high) = bytes.split_at(4);
            function.config_write(register, low);
            if wide {
                function.config_write(register + 4, high);
            }
        }
        Ok(())
    }

    fn room_for(&self, size: u64, wide: bool) -> Option<u64> {
        let above = wide.then_some(&self.windows.above_ram);
        above
            .into_iter()
            .chain([&self.windows.below_4_gib])
            .find_map(|window| first_gap(window, self.claimed.values(), size))
    }
}

/// The lowest aligned address in the window where nothing that was claimed lies.
fn first_gap<'a>(
    window: &Range<u64>,
    claimed: impl Iterator<Item = &'a Range<u64>>,
    size: u64,
) -> Option<u64> {
    let mut claimed: Vec<_> = claimed.collect();
    claimed.sort_by_key(|range| range.start);
    let mut address = window.start.checked_next_multiple_of(size)?;
    for range in claimed {
        if address.checked_add(size)? <= range.start {
            break;
        }
        if range.end > address {
            address = range.end.checked_next_multiple_of(size)?;
        }
    }
    (address.checked_add(size)? <= window.end).then_some(address)
}

fn target(offset: u64, length: usize) -> Option<(u8, u16)> {
    let target = Target::of(offset, length)?;
    (target.bus == 0 && target.function == 0).then_some((target.device, target.register))
}

fn sizes(function: &dyn PciFunction, changes: &[BarChange]) -> Vec<u64> {
    if changes.is_empty() {
        return Vec::new();
    }
    let bars = function.bars();
    changes
        .iter()
        .map(|change| {
            bars.iter()
                .find(|(bar, ..)| *bar == change.bar)
                .map_or(0, |(_, size, _)| *size)
        })
        .collect()
}

/// Why a function can't be added.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AddError {
    /// All slots are taken.
    #[error("put a function on the PCI bus: all {SLOTS} slots are taken; remove one first")]
    BusFull,
    /// No gap is big enough.
    #[error("put a function on the PCI bus: no window has room for BAR {bar} of {size} bytes")]
    WindowFull {
        /// Its number.
        bar: u8,
        /// Its size.
        size: u64,
    },
}

/// There is nothing at the address that could be removed.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("remove the PCI function at {address}: there is none that can be removed")]
pub struct NoSuchFunction {
    /// Where.
    pub address: PciAddress,
}

#[cfg(test)]
mod tests;
