//! BARs out of registers and regions.

use proptest::prelude::*;

use super::{BarPlan, plan};
use crate::{
    pci::{Bar, BarSpec, BarWidth},
    vfio::{Region, config::MsixPlace},
};

fn region(size: u64) -> Region {
    Region {
        size,
        mappable: std::iter::once(0..size).collect(),
    }
}

fn msix(table: (u8, u64), pending: (u8, u64), entries: u16) -> MsixPlace {
    MsixPlace {
        offset: 0x60,
        vectors: entries.min(256),
        entries,
        table,
        pending,
    }
}

fn none() -> (u32, Region) {
    (0, Region::default())
}

#[test]
fn bars_of_a_gpu_are_placed_the_largest_first() {
    let registers = [
        (0x0000_0000, region(16 << 20)),
        (0x0000_000c, region(256 << 30)),
        none(),
        (0x0000_000c, region(32 << 20)),
        none(),
        (0x0000_0001, region(128)),
    ];
    let plans = plan(&registers, None);
    let specs: Vec<_> = plans
        .iter()
        .map(|plan| (plan.spec.bar.0, plan.spec.size, plan.spec.width))
        .collect();
    assert_eq!(
        specs,
        [
            (1, 256 << 30, BarWidth::Bits64Prefetchable),
            (3, 32 << 20, BarWidth::Bits64Prefetchable),
            (0, 16 << 20, BarWidth::Bits32),
        ]
    );
}

#[test]
fn pages_of_the_msix_table_are_trapped() {
    let registers = [
        (0x4, region(16 << 10)),
        none(),
        none(),
        none(),
        none(),
        none(),
    ];
    let place = msix((0, 0x2000), (0, 0x3000), 65);
    let plans = plan(&registers, Some(place));
    let below: Vec<_> = std::iter::once(0..0x2000).collect();
    assert_eq!(plans[0].direct, below);
    // A table in the middle, as long as the device has it and not as the guest is told.
    let place = msix((0, 0x1000), (5, 0), 512);
    let plans = plan(&registers, Some(place));
    assert_eq!(plans[0].direct, [0..0x1000, 0x3000..0x4000]);
}

#[test]
fn bar_of_less_than_a_page_is_a_page_of_which_nothing_is_direct() {
    let registers = [(0, region(256)), none(), none(), none(), none(), none()];
    let expected = BarPlan {
        spec: BarSpec {
            bar: Bar(0),
            size: 4096,
            width: BarWidth::Bits32,
        },
        bytes: 256,
        direct: Vec::new(),
    };
    assert_eq!(plan(&registers, None), [expected]);
}

proptest! {
    /// Whatever the kernel says can be mapped, and wherever the table lies.
    #[test]
    fn direct_parts_are_whole_pages_inside_apart_and_off_the_table(
        bits in 12..34_u32,
        areas in prop::collection::vec((0..1_u64 << 20, 0..1_u64 << 20), 0..6),
        table in 0..1_u64 << 20,
        entries in 1..2049_u16,
    ) {
        let size = 1_u64 << bits;
        let table = table & !7;
        let mappable = areas.into_iter().map(|(start, length)| start..start + length).collect();
        let region = Region { size, mappable };
        let registers = [(0xc, region), none(), none(), none(), none(), none()];
        let plans = plan(&registers, Some(msix((0, table), (1, 0), entries)));
        let direct = &plans[0].direct;
        for part in direct {
            prop_assert!(part.start < part.end && part.end <= size);
            prop_assert!(part.start % 4096 == 0 && part.end % 4096 == 0);
            let end = table + u64::from(entries) * 16;
            prop_assert!(part.end <= table || part.start >= end, "{part:?} over the table");
        }
        prop_assert!(direct.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}
