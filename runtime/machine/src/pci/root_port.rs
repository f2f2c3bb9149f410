//! A root port (PCI Express Base 6.0, 7.5.1.3 and 7.5.3): a bridge from bus 0 to a bus of its own, with one function on it. Some GPUs' drivers fail
//! where they find no port above their device. Main types: [`RootPort`], its registers, and [`PortRoom`], what lies behind it. `root` puts it on
//! bus 0 and places what is behind it.
//!
//! Bus numbers and windows are set from the start, as firmware does, and Linux leaves them so. The numbers can't be written. The windows can,
//! which changes nothing: a BAR decodes wherever the machine's windows let it. There is no slot, and so no hot-plug of its own: the agent has
//! the bus rescanned.

use std::ops::Range;

use super::{
    Bar, BarChange, BarSpec, BarWidth, COMMAND, CapabilityError, ConfigSpace, Identity, PciFunction,
};

/// "Red Hat, QEMU PCIe Root port" in pci.ids: the one generic root port that has an id.
const IDENTITY: Identity = Identity {
    vendor: 0x1b36,
    device: 0x000c,
    revision: 0,
    class: [0x06, 0x04, 0x00],
    subsystem_vendor: 0,
    subsystem: 0,
};

const HEADER_TYPE: u16 = 0x0e;
/// A bridge, which shares its slot with others.
const BRIDGE_OF_MANY: u8 = 0x81;
const BUSES: u16 = 0x18;
const MEMORY: u16 = 0x20;
const PREFETCHABLE: u16 = 0x24;
const PREFETCHABLE_UPPER: u16 = 0x28;
/// Windows begin and end at multiples of this.
const WINDOW_BYTES: u64 = 1 << 20;
const WINDOW_BITS: u16 = 0xfff0;
/// Its window has addresses of 64 bits.
const WIDE: u16 = 1;

const EXPRESS: u8 = 0x10;
/// From the capability's beginning.
const DEVICE_CONTROL: u16 = 8;
const PAYLOAD: u16 = 0b111 << 5;
/// Capabilities of a header lie in 192 bytes, 4 at least each.
const MOST_CAPABILITIES: usize = 48;

/// Bytes of address space behind a port, and what they are multiples of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortRoom {
    below_4_gib: u64,
    below_align: u64,
    above_ram: u64,
    above_align: u64,
}

impl PortRoom {
    /// For these BARs. A bridge passes on prefetchable memory alone to addresses of 64 bits.
    #[must_use]
    pub fn of(bars: impl Iterator<Item = BarSpec>) -> Self {
        let mut room = Self::default();
        for bar in bars {
            let (bytes, align) = match bar.width {
                BarWidth::Bits64Prefetchable => (&mut room.above_ram, &mut room.above_align),
                BarWidth::Bits32 | BarWidth::Bits64 => {
                    (&mut room.below_4_gib, &mut room.below_align)
                }
            };
            // The largest come first, so none leaves a gap.
            *bytes = bytes.saturating_add(bar.size);
            *align = (*align).max(bar.size);
        }
        room
    }

    /// For what is not there yet.
    #[must_use]
    pub fn spare(below_4_gib: u64, above_ram: u64) -> Self {
        Self {
            below_4_gib,
            below_align: below_4_gib,
            above_ram,
            above_align: above_ram,
        }
    }

    /// Size and alignment of the window below 4 GiB; none where there is nothing for it.
    pub(super) fn below(&self) -> Option<(u64, u64)> {
        whole(self.below_4_gib, self.below_align)
    }

    /// The same of the one above RAM.
    pub(super) fn above(&self) -> Option<(u64, u64)> {
        whole(self.above_ram, self.above_align)
    }
}

fn whole(bytes: u64, align: u64) -> Option<(u64, u64)> {
    let size = bytes.checked_next_multiple_of(WINDOW_BYTES)?;
    let align = align.checked_next_power_of_two()?.max(WINDOW_BYTES);
    (bytes > 0).then_some((size, align))
}

/// Where what is behind a port may lie. An empty window is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortWindows {
    pub(super) below_4_gib: Range<u64>,
    pub(super) above_ram: Range<u64>,
}

impl PortWindows {
    /// Those that are not empty.
    pub(super) fn both(&self) -> impl Iterator<Item = &Range<u64>> {
        let both = [&self.below_4_gib, &self.above_ram];
        both.into_iter().filter(|window| !window.is_empty())
    }
}

/// The registers of a port.
#[derive(Debug)]
pub(super) struct RootPort(ConfigSpace);

impl RootPort {
    /// A port to this bus.
    pub(super) fn new(bus: u8, windows: &PortWindows) -> Result<Self, CapabilityError> {
        let mut config = ConfigSpace::new(&IDENTITY);
        config.set(HEADER_TYPE, &[BRIDGE_OF_MANY]);
        config.set(BUSES, &[0, bus, bus, 0]);
        let (base, limit) = ends(&windows.below_4_gib);
        for (at, address, kind) in [(MEMORY, base, 0), (MEMORY + 2, limit, 0)] {
            config.set(at, &window(address, kind).to_le_bytes());
            config.allow(at, &WINDOW_BITS.to_le_bytes());
        }
        let (base, limit) = ends(&windows.above_ram);
        for (at, upper, address) in [
            (PREFETCHABLE, PREFETCHABLE_UPPER, base),
            (PREFETCHABLE + 2, PREFETCHABLE_UPPER + 4, limit),
        ] {
            config.set(at, &window(address, WIDE).to_le_bytes());
            config.allow(at, &WINDOW_BITS.to_le_bytes());
            let [.., a, b, c, d] = address.to_le_bytes();
            config.set(upper, &[a, b, c, d]);
            config.allow(upper, &[0xff; 4]);
        }
        let (body, writable) = express();
        config.add_capability(EXPRESS, &body, &writable)?;
        Ok(Self(config))
    }
}

/// First and last address; those of an empty window are the wrong way round.
fn ends(window: &Range<u64>) -> (u64, u64) {
    match window.is_empty() {
        true => (u64::MAX, 0),
        false => (window.start, window.end - 1),
    }
}

/// The upper bits of an address of 32 bits, as a window's register has them.
fn window(address: u64, kind: u16) -> u16 {
    let [_, _, low, high, ..] = address.to_le_bytes();
    u16::from_le_bytes([low, high]) & WINDOW_BITS | kind
}

/// What follows id and link of its PCI Express capability, and what of it can be written: a root port of version 2 without a slot, whose link is
/// as wide and fast as 16 lanes of 16 GT/s. Drivers tell of a slower one.
fn express() -> ([u8; 58], [u8; 10]) {
    const KIND: u16 = 2 | 4 << 4;
    /// Payloads to 4096 bytes; errors by role.
    const DEVICE: u32 = 5 | 1 << 15;
    const LINK: u16 = 4 | 16 << 4;
    const SPEEDS: u8 = 0b1_1110;
    let mut body = [0; 58];
    let mut put = |at: usize, bytes: &[u8]| {
        for (place, byte) in body.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    };
    put(0, &KIND.to_le_bytes());
    put(2, &DEVICE.to_le_bytes());
    put(10, &LINK.to_le_bytes());
    put(16, &LINK.to_le_bytes());
    put(42, &[SPEEDS]);
    put(46, &[4]);
    let mut writable = [0; 10];
    // Device control: errors, payload and the size of requests.
    let [.., low, high, _, _] = &mut writable;
    (*low, *high) = (0xff, 0x70);
    (body, writable)
}

impl PciFunction for RootPort {
    fn config_read(&mut self, offset: u16, data: &mut [u8]) {
        self.0.read(offset, data);
    }

    fn config_write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        self.0.write(offset, data)
    }

    fn bars(&self) -> Vec<(Bar, u64, Option<u64>)> {
        Vec::new()
    }

    fn bar_moved(&mut self, _change: BarChange) {}

    fn bar_read(&mut self, _bar: Bar, _offset: u64, _data: &mut [u8]) {}

    fn bar_write(&mut self, _bar: Bar, _offset: u64, _data: &[u8]) {}

    fn unplug(&mut self) {}
}

/// Has the port say the same largest payload as the function behind it, as firmware sees to: Linux would set the function's to the port's, and a
/// device that is sent more than it takes reports an error.
pub(super) fn agree_on_payload(port: &mut dyn PciFunction, function: &mut dyn PciFunction) {
    let (Some(of_port), Some(of_function)) = (express_at(port), express_at(function)) else {
        return;
    };
    let payload = word(function, of_function + DEVICE_CONTROL) & PAYLOAD;
    let control = word(port, of_port + DEVICE_CONTROL) & !PAYLOAD | payload;
    port.config_write(of_port + DEVICE_CONTROL, &control.to_le_bytes());
}

/// Where a function has its capability of PCI Express.
fn express_at(function: &mut dyn PciFunction) -> Option<u16> {
    const POINTER: u16 = 0x34;
    const LISTED: u16 = 1 << 4;
    if word(function, COMMAND + 2) & LISTED == 0 {
        return None;
    }
    let [mut at, _] = word(function, POINTER).to_le_bytes();
    for _ in 0..MOST_CAPABILITIES {
        at &= !0b11;
        if at == 0 {
            return None;
        }
        let [id, next] = word(function, at.into()).to_le_bytes();
        if id == EXPRESS {
            return Some(at.into());
        }
        at = next;
    }
    None
}

fn word(function: &mut dyn PciFunction, at: u16) -> u16 {
    let mut bytes = [0; 2];
    function.config_read(at, &mut bytes);
    u16::from_le_bytes(bytes)
}
