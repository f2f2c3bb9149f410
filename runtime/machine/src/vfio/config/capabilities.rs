//! The lists of capabilities in a device's configuration space (PCI 3.0, 6.7; PCIe 6.0, 7.6). Main functions: [`list`] and [`extended`].
//! The bytes are a device's, so no walk goes round, or past the end.

use std::{collections::BTreeSet, ops::Range};

use super::{HEADER_BYTES, LEAST_BYTES, MOST_BYTES, STATUS};

pub(super) const MSI: u8 = 0x05;
pub(super) const MSIX: u8 = 0x11;
/// Enhanced allocation: BARs that are where they are.
const ENHANCED_ALLOCATION: u8 = 0x14;

/// ARI, ATS, SR-IOV, page requests, multicast, resizable BARs, PASID, resizable BARs of virtual functions.
const HIDDEN_EXTENDED: [u16; 8] = [0x0e, 0x0f, 0x10, 0x13, 0x12, 0x15, 0x1b, 0x24];

const POINTER: usize = 0x34;
const HAS_LIST: u8 = 1 << 4;
/// An empty bus.
const NOTHING: u8 = 0xff;

/// A capability by its id, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capability {
    pub(super) id: u8,
    pub(super) start: usize,
}

/// An extended capability, up to where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) hidden: bool,
}

/// Capabilities that the guest sees, in their order, and the bytes of those that it doesn't. Of MSI and MSI-X it sees the first.
pub(super) fn list(device: &[u8]) -> (Vec<Capability>, Vec<Range<usize>>) {
    let all = walk(device);
    let starts: BTreeSet<usize> = all.iter().map(|capability| capability.start).collect();
    let mut seen = BTreeSet::new();
    let (hidden, shown): (Vec<_>, Vec<_>) = all.into_iter().partition(|capability| {
        let again = !seen.insert(capability.id) && [MSI, MSIX].contains(&capability.id);
        again || capability.id == ENHANCED_ALLOCATION
    });
    let hidden = hidden.into_iter().map(|capability| {
        let next = starts.range(capability.start + 1..).next();
        capability.start..next.copied().unwrap_or(LEAST_BYTES)
    });
    (shown, hidden.collect())
}

fn walk(device: &[u8]) -> Vec<Capability> {
    let byte = |at: usize| device.get(at).copied().unwrap_or(0);
    let mut found: Vec<Capability> = Vec::new();
    if byte(STATUS) & HAS_LIST == 0 {
        return found;
    }
    let mut start = usize::from(byte(POINTER) & !0b11);
    while start >= HEADER_BYTES && byte(start) != NOTHING {
        if found.iter().any(|capability| capability.start == start) {
            break;
        }
        let id = byte(start);
        found.push(Capability { id, start });
        start = usize::from(byte(start + 1) & !0b11);
    }
    found
}

/// All extended capabilities, by their places.
pub(super) fn extended(device: &[u8]) -> Vec<Extended> {
    let mut found: Vec<(usize, u16)> = Vec::new();
    let mut start = LEAST_BYTES;
    while let Some(header) = device.get(start..).and_then(|rest| rest.first_chunk()) {
        let header = u32::from_le_bytes(*header);
        let known = found.iter().any(|(other, _)| *other == start);
        if known || header == 0 || header == u32::MAX {
            break;
        }
        let [low, high, ..] = header.to_le_bytes();
        found.push((start, u16::from_le_bytes([low, high])));
        start = usize::try_from(header >> 20 & !0b11).unwrap_or(0);
        if start < LEAST_BYTES {
            break;
        }
    }
    found.sort_unstable();
    let ends = found.iter().skip(1).map(|(start, _)| *start);
    let ends: Vec<usize> = ends.chain([MOST_BYTES]).collect();
    let extended = found.iter().zip(ends).map(|((start, id), end)| Extended {
        start: *start,
        end,
        hidden: HIDDEN_EXTENDED.contains(id),
    });
    extended.collect()
}
