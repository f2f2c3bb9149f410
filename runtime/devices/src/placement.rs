//! Where the BARs of the functions of a VM lie in its address space: a pure function. Main types: [`Windows`], the room; [`Placement`],
//! the answer. Above: `preflight`, which asks whether there is room; in time the monitor, which has no firmware to do it.
//!
//! ```text
//! bus 0 ─┬─ root port ── bus 1 ── function      prefetchable window: 64 bits, below the processor's last address
//!        ├─ root port ── bus 2 ── function      memory window: 32 bits, below 4 GiB
//!        └─ …
//! ```
//!
//! Each function has a root port of its own: some GPUs don't start on the root bus, and a window per function can be given back alone.
//! A bridge has one window for what is prefetchable, of 64 bits, and one for all else, of 32 (PCI-to-PCI Bridge 1.2, section
//! 3.2.5); both begin and end at 1 MiB. A BAR lies at a multiple of its size. Within a window the BARs go
//! down by size from one end, so none needs a gap; the windows of functions come by their alignment, the largest first.

use std::{cmp::Reverse, ops::Range};

use serde::Serialize;

use crate::{
    address::PciAddress,
    bars::{Bar, Width},
};

/// Most functions of one VM: the root bus has 32 devices, and half of them are virtio's.
pub const MAX_FUNCTIONS: usize = 16;

/// What a bridge's window is a multiple of.
const GRANULE: u64 = 1 << 20;

/// A BAR takes whole pages, so that it can be mapped into the guest without its neighbour.
const PAGE: u64 = 4096;

/// First address above 32 bits.
const ABOVE_32_BITS: u64 = 1 << 32;

/// What can be placed: a function with its BARs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    pub function: PciAddress,
    pub bars: Vec<Bar>,
}

/// Free address space of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// Below 4 GiB.
    pub low: Range<u64>,
    /// From the end of RAM to the end of what the processor can address.
    pub high: Range<u64>,
}

/// All functions, in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    pub ports: Vec<Port>,
}

/// A root port with the function behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    pub function: PciAddress,
    /// The bus behind the port.
    pub bus: u8,
    /// Window of 32 bits; none if no BAR needs it.
    pub memory: Option<Range<u64>>,
    /// Window of 64 bits.
    pub prefetchable: Option<Range<u64>>,
    /// By index.
    pub bars: Vec<PlacedBar>,
}

/// A BAR with its address in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlacedBar {
    pub index: u8,
    pub address: u64,
    pub size: u64,
}

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    #[error("{count} functions are more than the {MAX_FUNCTIONS} that a VM can have")]
    Count { count: usize },
    #[error("BAR {index} of {function} has {size:#x} bytes, which is no power of two from 16 on")]
    Size {
        function: PciAddress,
        index: u8,
        size: u64,
    },
    #[error(
        "the BARs of {function} need {need:#x} bytes {kind}, and of {from:#x} to {to:#x} {left:#x} are left: give the VM fewer devices{advice}"
    )]
    NoRoom {
        function: PciAddress,
        kind: &'static str,
        need: u64,
        from: u64,
        to: u64,
        left: u64,
        advice: &'static str,
    },
    #[error("the address space {from:#x} to {to:#x} is no window {kind}")]
    Window {
        kind: &'static str,
        from: u64,
        to: u64,
    },
}

/// A window with its BARs.
struct Fit {
    window: Range<u64>,
    bars: Vec<PlacedBar>,
}

/// Which of a bridge's two windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Prefetchable,
}

impl Windows {
    /// The windows of a VM whose low one is `low` and whose RAM ends at `ram_end`, on a processor with `phys_bits` address bits.
    pub fn new(low: Range<u64>, ram_end: u64, phys_bits: u8) -> Result<Self, PlacementError> {
        let end = 1_u64.checked_shl(u32::from(phys_bits)).unwrap_or(u64::MAX);
        let high = ram_end.max(ABOVE_32_BITS)..end;
        if low.start > low.end || low.end > ABOVE_32_BITS {
            return Err(window(Kind::Memory, &low));
        }
        if high.start > high.end {
            return Err(window(Kind::Prefetchable, &high));
        }
        Ok(Self { low, high })
    }

    fn of(&self, kind: Kind) -> &Range<u64> {
        match kind {
            Kind::Memory => &self.low,
            Kind::Prefetchable => &self.high,
        }
    }
}

/// Gives every BAR an address, or says which function's don't fit.
pub fn place(demands: &[Demand], windows: &Windows) -> Result<Placement, PlacementError> {
    if demands.len() > MAX_FUNCTIONS {
        return Err(PlacementError::Count {
            count: demands.len(),
        });
    }
    demands.iter().try_for_each(check)?;
    let mut ports: Vec<Port> = (1..)
        .zip(demands)
        .map(|(bus, demand)| Port {
            function: demand.function,
            bus,
            memory: None,
            prefetchable: None,
            bars: Vec::new(),
        })
        .collect();
    for kind in [Kind::Memory, Kind::Prefetchable] {
        fill(demands, kind, windows.of(kind), &mut ports)?;
    }
    for port in &mut ports {
        port.bars.sort_by_key(|bar| bar.index);
    }
    Ok(Placement { ports })
}

fn check(demand: &Demand) -> Result<(), PlacementError> {
    let odd = demand
        .bars
        .iter()
        .find(|bar| bar.size < 16 || !bar.size.is_power_of_two());
    odd.map_or(Ok(()), |bar| {
        Err(PlacementError::Size {
            function: demand.function,
            index: bar.index,
            size: bar.size,
        })
    })
}

/// One kind of window of every port.
fn fill(
    demands: &[Demand],
    kind: Kind,
    room: &Range<u64>,
    ports: &mut [Port],
) -> Result<(), PlacementError> {
    let mut needs: Vec<(Vec<Bar>, &mut Port)> = demands
        .iter()
        .map(|demand| of_kind(demand, kind))
        .zip(ports)
        .filter(|(bars, _port)| !bars.is_empty())
        .collect();
    needs.sort_by_key(|(bars, _port)| Reverse(alignment(bars)));
    let mut next = room.start;
    for (bars, port) in needs {
        let fit = fit(&bars, next).filter(|fit| fit.window.end <= room.end);
        let Fit { window, bars } = fit.ok_or_else(|| {
            let need = extent(&bars).unwrap_or(u64::MAX);
            no_room(port.function, kind, need, next, room)
        })?;
        next = window.end;
        port.bars.extend(bars);
        match kind {
            Kind::Memory => port.memory = Some(window),
            Kind::Prefetchable => port.prefetchable = Some(window),
        }
    }
    Ok(())
}

/// The BARs that go into a window, the largest first.
fn of_kind(demand: &Demand, kind: Kind) -> Vec<Bar> {
    let mut bars: Vec<Bar> = demand
        .bars
        .iter()
        .copied()
        .filter(|bar| kind_of(bar) == kind)
        .collect();
    bars.sort_by_key(|bar| Reverse(bar.size));
    bars
}

/// A BAR of 32 bits can't be in a window above them, and one that is not prefetchable must not be where a bridge may prefetch.
fn kind_of(bar: &Bar) -> Kind {
    match (bar.width, bar.prefetchable) {
        (Width::Bits64, true) => Kind::Prefetchable,
        _ => Kind::Memory,
    }
}

fn room_of(bar: &Bar) -> u64 {
    bar.size.max(PAGE)
}

/// Of the window: that of its largest BAR.
fn alignment(bars: &[Bar]) -> u64 {
    bars.iter().map(room_of).max().unwrap_or(0).max(GRANULE)
}

fn extent(bars: &[Bar]) -> Option<u64> {
    let sum = bars
        .iter()
        .try_fold(0_u64, |sum, bar| sum.checked_add(room_of(bar)))?;
    sum.checked_next_multiple_of(GRANULE)
}

/// The window of these BARs that ends first, from `next` on: with the largest BAR at its start, or, where the gap before that is wide
/// enough for the others, with the others in the gap. So two GPUs share the gap between them.
fn fit(bars: &[Bar], next: u64) -> Option<Fit> {
    let (largest, others) = bars.split_first()?;
    [upward(bars, next), downward(largest, others, next)]
        .into_iter()
        .flatten()
        .min_by_key(|fit| fit.window.end)
}

/// From an aligned start, falling powers of two are aligned one after the other.
fn upward(bars: &[Bar], next: u64) -> Option<Fit> {
    let start = next.checked_next_multiple_of(alignment(bars))?;
    let end = start.checked_add(extent(bars)?)?;
    let bars = bars.iter().scan(start, |next, bar| {
        let address = *next;
        *next += room_of(bar);
        Some(placed(bar, address))
    });
    Some(Fit {
        window: start..end,
        bars: bars.collect(),
    })
}

/// And so they are one before the other.
fn downward(largest: &Bar, others: &[Bar], next: u64) -> Option<Fit> {
    let largest = std::slice::from_ref(largest);
    let below = extent(others)?;
    let base = next
        .checked_add(below)?
        .checked_next_multiple_of(alignment(largest))?;
    let end = base.checked_add(extent(largest)?)?;
    let first = largest.iter().map(|bar| placed(bar, base));
    let others = others.iter().scan(base, |end, bar| {
        *end -= room_of(bar);
        Some(placed(bar, *end))
    });
    Some(Fit {
        window: base - below..end,
        bars: first.chain(others).collect(),
    })
}

fn placed(bar: &Bar, address: u64) -> PlacedBar {
    PlacedBar {
        index: bar.index,
        address,
        size: bar.size,
    }
}

fn no_room(
    function: PciAddress,
    kind: Kind,
    need: u64,
    next: u64,
    room: &Range<u64>,
) -> PlacementError {
    PlacementError::NoRoom {
        function,
        kind: said(kind),
        need,
        from: room.start,
        to: room.end,
        left: room.end.saturating_sub(next),
        advice: match kind {
            Kind::Memory => "",
            Kind::Prefetchable => ", less memory, or a host whose processor has more address bits",
        },
    }
}

fn window(kind: Kind, range: &Range<u64>) -> PlacementError {
    PlacementError::Window {
        kind: said(kind),
        from: range.start,
        to: range.end,
    }
}

fn said(kind: Kind) -> &'static str {
    match kind {
        Kind::Memory => "below 4 GiB",
        Kind::Prefetchable => "above RAM",
    }
}

#[cfg(test)]
mod tests;
