//! Bus 0 with its 32 slots, buses of one function behind root ports, the map from guest addresses to BARs, and the windows that BARs get their
//! first addresses from. Main type: [`PciRoot`]. `board` owns it and passes it the accesses to ECAM and to the windows.

use std::{collections::BTreeMap, fmt, ops::Range};

use thiserror::Error;

use super::{
    Bar, BarChange, CapabilityError, PciFunction, bar,
    ecam::Target,
    host_bridge::HostBridge,
    root_port::{self, PortRoom, PortWindows, RootPort},
};
use crate::memory::{Layout, PCI_WINDOW_32};

/// Slots of a bus.
const SLOTS: u8 = 32;
/// Functions of a slot: so many root ports take one.
const FUNCTIONS: u8 = 8;

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
    functions: BTreeMap<PciAddress, Box<dyn PciFunction>>,
    /// Root ports, and what lies behind each.
    ports: Vec<Port>,
    /// What decodes, by its first address. Ranges never overlap.
    decoded: BTreeMap<u64, Place>,
    /// The addresses last given to or chosen for each BAR: new functions keep away from them.
    claimed: BTreeMap<(PciAddress, Bar), Range<u64>>,
}

/// A root port.
#[derive(Debug)]
struct Port {
    /// Its own, on bus 0.
    address: PciAddress,
    /// Behind it.
    bus: u8,
    windows: PortWindows,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    owner: PciAddress,
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
            functions: BTreeMap::from([(in_slot(0, 0), bridge)]),
            ports: Vec::new(),
            decoded: BTreeMap::new(),
            claimed: BTreeMap::new(),
        }
    }

    /// Puts a function into the first free slot and gives its BARs addresses. It decodes nothing until the guest lets it.
    ///
    /// # Errors
    /// When the bus is full or a window has no room.
    pub fn add(&mut self, mut function: Box<dyn PciFunction>) -> Result<PciAddress, AddError> {
        let address = self.free_slot()?;
        self.assign(address, function.as_mut())?;
        self.functions.insert(address, function);
        Ok(address)
    }

    /// Puts a function behind a root port that has room for it, or else beside the others on bus 0.
    ///
    /// # Errors
    /// As for [`PciRoot::add`].
    pub fn add_behind_port(
        &mut self,
        mut function: Box<dyn PciFunction>,
    ) -> Result<PciAddress, AddError> {
        let ports = self.ports.iter();
        let places: Vec<_> = ports.map(|port| (port.address, behind(port.bus))).collect();
        for (port, place) in places {
            if self.functions.contains_key(&place) || self.assign(place, function.as_mut()).is_err()
            {
                continue;
            }
            if let Some(port) = self.functions.get_mut(&port) {
                root_port::agree_on_payload(port.as_mut(), function.as_mut());
            }
            self.functions.insert(place, function);
            return Ok(place);
        }
        self.add(function)
    }

    /// Puts a root port on bus 0, with a bus of its own and windows of this room. Eight of them share a slot. It stays.
    ///
    /// # Errors
    /// When the bus is full or a window has no room.
    pub fn add_port(&mut self, room: &PortRoom) -> Result<(), AddError> {
        let number = self.ports.len();
        let bus = u8::try_from(number + 1).map_err(|_overflow| AddError::BusFull)?;
        let address = match self.ports.last().map(|port| port.address) {
            Some(last) if last.function + 1 < FUNCTIONS => in_slot(last.device, last.function + 1),
            _ => self.free_slot()?,
        };
        let (below, above) = (&self.windows.below_4_gib, &self.windows.above_ram);
        let windows = PortWindows {
            below_4_gib: self.window(below, room.below())?,
            above_ram: self.window(above, room.above())?,
        };
        let port = RootPort::new(bus, &windows).map_err(AddError::Port)?;
        self.functions.insert(address, Box::new(port));
        self.ports.push(Port {
            address,
            bus,
            windows,
        });
        Ok(())
    }

    /// Takes a function off the bus; it has stopped when this returns.
    ///
    /// # Errors
    /// When there is none, or it is the host bridge or a root port.
    pub fn remove(&mut self, address: PciAddress) -> Result<Box<dyn PciFunction>, NoSuchFunction> {
        let stays = self.ports.iter().any(|port| port.address == address);
        if stays || address == in_slot(0, 0) {
            return Err(NoSuchFunction { address });
        }
        let function = self.functions.remove(&address);
        let mut function = function.ok_or(NoSuchFunction { address })?;
        self.decoded.retain(|_, place| place.owner != address);
        self.claimed.retain(|(owner, _), _| *owner != address);
        function.unplug();
        Ok(function)
    }

    /// Takes every function off the bus, for the end of the machine.
    pub fn clear(&mut self) {
        self.decoded.clear();
        self.claimed.clear();
        for (_, mut function) in std::mem::take(&mut self.functions) {
            function.unplug();
        }
    }

    /// Reads configuration space at an offset into ECAM. Absent functions read as all ones.
    pub fn config_read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some((address, register)) = target(offset, data.len())
            && let Some(function) = self.functions.get_mut(&address)
        {
            function.config_read(register, data);
        }
    }

    /// Writes configuration space at an offset into ECAM, and moves the BARs that the write moved.
    pub fn config_write(&mut self, offset: u64, data: &[u8]) {
        if let Some((address, register)) = target(offset, data.len())
            && let Some(function) = self.functions.get_mut(&address)
        {
            let changes = function.config_write(register, data);
            let sizes = sizes(function.as_ref(), &changes);
            self.follow(address, &changes, &sizes);
        }
    }

    /// Reads a BAR; false where none decodes.
    pub fn bar_read(&mut self, address: u64, data: &mut [u8]) -> bool {
        let Some((place, offset)) = self.find(address, data.len()) else {
            return false;
        };
        let function = self.functions.get_mut(&place.owner);
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
        let function = self.functions.get_mut(&place.owner);
        function.is_some_and(|function| {
            function.bar_write(place.bar, offset, data);
            true
        })
    }

    fn free_slot(&self) -> Result<PciAddress, AddError> {
        let mut slots = (0..SLOTS).map(|device| in_slot(device, 0));
        let free = slots.find(|address| !self.functions.contains_key(address));
        free.ok_or(AddError::BusFull)
    }

    fn find(&self, address: u64, length: usize) -> Option<(Place, u64)> {
        let (start, place) = self.decoded.range(..=address).next_back()?;
        let offset = address - start;
        let end = offset.checked_add(u64::try_from(length).ok()?)?;
        (end <= place.size).then_some((*place, offset))
    }

    /// Lets the map and the function's doorbells follow what the guest wrote. The map is what counts: where a BAR can't decode
    /// (outside the windows, or over another one that was there first) the function hears that it decodes nowhere.
    fn follow(&mut self, owner: PciAddress, changes: &[BarChange], sizes: &[u64]) {
        let mut moved = Vec::new();
        for (change, size) in changes.iter().zip(sizes) {
            let bar = change.bar;
            let from = self.forget(owner, bar);
            let to = change.to.filter(|address| self.is_free(*address, *size));
            if let Some(address) = to {
                self.decoded.insert(
                    address,
                    Place {
                        owner,
                        bar,
                        size: *size,
                    },
                );
                self.claimed.insert((owner, bar), address..address + size);
            }
            if from != to {
                moved.push(BarChange { bar, from, to });
            }
        }
        if let Some(function) = self.functions.get_mut(&owner) {
            moved
                .into_iter()
                .for_each(|change| function.bar_moved(change));
        }
    }

    fn forget(&mut self, owner: PciAddress, bar: Bar) -> Option<u64> {
        let address = self
            .decoded
            .iter()
            .find(|(_, place)| place.owner == owner && place.bar == bar)
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

    /// Gives each BAR an address as firmware would: through its registers. Where one has none, none keeps its claim.
    fn assign(
        &mut self,
        owner: PciAddress,
        function: &mut dyn PciFunction,
    ) -> Result<(), AddError> {
        for (bar, size, _) in function.bars() {
            let register = bar::register(bar);
            let mut low = [0; 4];
            function.config_read(register, &mut low);
            let low = u32::from_le_bytes(low);
            let wide = low & 0b110 == bar::WIDTH_64;
            let Some(address) = self.room_for(owner.bus, size, low) else {
                self.claimed.retain(|(other, _), _| *other != owner);
                return Err(AddError::WindowFull { bar: bar.0, size });
            };
            self.claimed.insert((owner, bar), address..address + size);
            let bytes = address.to_le_bytes();
            let (low, high) = bytes.split_at(4);
            function.config_write(register, low);
            if wide {
                function.config_write(register + 4, high);
            }
        }
        Ok(())
    }

    /// On this bus, for a BAR whose register says this of its kind.
    fn room_for(&self, bus: u8, size: u64, register: u32) -> Option<u64> {
        let wide = register & 0b110 == bar::WIDTH_64;
        let port = self.ports.iter().find(|port| port.bus == bus);
        let (above, below) = match port.map(|port| &port.windows) {
            // A bridge passes on nothing but prefetchable memory above.
            Some(windows) => {
                let above = wide && register & bar::PREFETCHABLE != 0;
                (above.then_some(&windows.above_ram), &windows.below_4_gib)
            }
            None => (
                wide.then_some(&self.windows.above_ram),
                &self.windows.below_4_gib,
            ),
        };
        let windows = self.ports.iter().filter(|_| port.is_none());
        let windows = windows.flat_map(|port| port.windows.both());
        let taken: Vec<_> = self.claimed.values().chain(windows).collect();
        let mut candidates = above.into_iter().chain([below]);
        candidates.find_map(|window| first_gap(window, taken.iter().copied(), size))
    }

    /// A window of a port in one of the machine's; an empty one where nothing is needed.
    fn window(
        &self,
        whole: &Range<u64>,
        needed: Option<(u64, u64)>,
    ) -> Result<Range<u64>, AddError> {
        let Some((size, align)) = needed else {
            return Ok(whole.start..whole.start);
        };
        let windows = self.ports.iter().flat_map(|port| port.windows.both());
        let taken = self.claimed.values().chain(windows);
        let start = first_gap_at(whole, taken, size, align);
        let start = start.ok_or(AddError::NoWindow { size })?;
        Ok(start..start + size)
    }
}

fn in_slot(device: u8, function: u8) -> PciAddress {
    PciAddress {
        bus: 0,
        device,
        function,
    }
}

/// What is behind a port is the first of its bus, and alone there.
fn behind(bus: u8) -> PciAddress {
    PciAddress {
        bus,
        device: 0,
        function: 0,
    }
}

/// The lowest aligned address in the window where nothing that was claimed lies.
fn first_gap<'a>(
    window: &Range<u64>,
    claimed: impl Iterator<Item = &'a Range<u64>>,
    size: u64,
) -> Option<u64> {
    first_gap_at(window, claimed, size, size)
}

/// The same for what is a multiple of something else than its size.
fn first_gap_at<'a>(
    window: &Range<u64>,
    claimed: impl Iterator<Item = &'a Range<u64>>,
    size: u64,
    align: u64,
) -> Option<u64> {
    let mut claimed: Vec<_> = claimed.collect();
    claimed.sort_by_key(|range| range.start);
    let mut address = window.start.checked_next_multiple_of(align)?;
    for range in claimed {
        if address.checked_add(size)? <= range.start {
            break;
        }
        if range.end > address {
            address = range.end.checked_next_multiple_of(align)?;
        }
    }
    (address.checked_add(size)? <= window.end).then_some(address)
}

fn target(offset: u64, length: usize) -> Option<(PciAddress, u16)> {
    let target = Target::of(offset, length)?;
    let address = PciAddress {
        bus: target.bus,
        device: target.device,
        function: target.function,
    };
    Some((address, target.register))
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
    /// No gap is big enough for a port's window.
    #[error("put a root port on the PCI bus: no window has room for the {size} bytes behind it")]
    NoWindow {
        /// Its size.
        size: u64,
    },
    /// Its registers.
    #[error("put a root port on the PCI bus")]
    Port(#[source] CapabilityError),
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
