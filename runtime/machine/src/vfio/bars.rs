//! Which BARs the guest gets of a function, and which parts of them it reaches without an exit. Main function: [`plan`]. Pure: what the
//! kernel and configuration space say, in, [`BarPlan`]s out.

#[cfg(test)]
mod tests;

use std::ops::Range;

use super::{Region, config::MsixPlace};
use crate::{
    memory::PAGE_BYTES,
    pci::{Bar, BarSpec, BarWidth, pending_bytes, table_bytes},
};

const PORTS: u32 = 1;
const KIND: u32 = 0b110;
const WIDE: u32 = 0b100;
const PREFETCHABLE: u32 = 0b1000;

/// One BAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BarPlan {
    pub(super) spec: BarSpec,
    /// Bytes that the device has of it. The guest's is a page at least.
    pub(super) bytes: u64,
    /// Whole pages of it that the guest reaches without an exit.
    pub(super) direct: Vec<Range<u64>>,
}

/// The memory BARs among these registers, each with its region, the largest first: so they leave no gaps when they are placed. I/O ports
/// are left out.
pub(super) fn plan(registers: &[(u32, Region)], msix: Option<MsixPlace>) -> Vec<BarPlan> {
    let mut plans = Vec::new();
    let mut numbered = (0_u8..).zip(registers);
    while let Some((number, (register, region))) = numbered.next() {
        let wide = register & PORTS == 0 && register & KIND == WIDE;
        if wide {
            // The next register is its upper half.
            numbered.next();
        }
        if register & PORTS != 0 || region.size == 0 {
            continue;
        }
        let width = match (wide, register & PREFETCHABLE != 0) {
            (false, _) => BarWidth::Bits32,
            (true, false) => BarWidth::Bits64,
            (true, true) => BarWidth::Bits64Prefetchable,
        };
        let size = region.size.max(PAGE_BYTES);
        plans.push(BarPlan {
            spec: BarSpec {
                bar: Bar(number),
                size,
                width,
            },
            bytes: region.size,
            direct: direct(region, &trapped(number, msix)),
        });
    }
    plans.sort_by_key(|plan| std::cmp::Reverse(plan.spec.size));
    plans
}

/// Pages with the MSI-X table or its pending bits.
fn trapped(bar: u8, msix: Option<MsixPlace>) -> Vec<Range<u64>> {
    let Some(msix) = msix else {
        return Vec::new();
    };
    let parts = [
        (msix.table, table_bytes(msix.entries)),
        (msix.pending, pending_bytes(msix.entries)),
    ];
    let parts = parts.into_iter().filter(|((of, _), _)| *of == bar);
    let pages = parts.map(|((_, offset), bytes)| {
        let end = offset.saturating_add(bytes.into());
        let end = end.checked_next_multiple_of(PAGE_BYTES).unwrap_or(u64::MAX);
        offset - offset % PAGE_BYTES..end
    });
    pages.collect()
}

/// What can be mapped, in whole pages, less what has to be trapped.
fn direct(region: &Region, trapped: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut parts: Vec<Range<u64>> = region
        .mappable
        .iter()
        .filter_map(|area| {
            let start = area.start.checked_next_multiple_of(PAGE_BYTES)?;
            let end = area.end.min(region.size);
            Some(start..end - end % PAGE_BYTES)
        })
        .collect();
    for hole in trapped {
        parts = parts
            .into_iter()
            .flat_map(|part| {
                let before = part.start..part.end.min(hole.start);
                let after = part.start.max(hole.end)..part.end;
                [before, after]
            })
            .collect();
    }
    parts.retain(|part| part.start < part.end);
    parts.sort_by_key(|part| part.start);
    // Areas of the kernel's that overlap would be two slots in one place.
    parts.dedup_by(|next, before| next.start < before.end);
    parts
}
