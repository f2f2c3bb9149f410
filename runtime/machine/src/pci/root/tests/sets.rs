//! Sets of functions as hosts have them: up to 16, each with BARs of all kinds, up to 256 GiB.

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::memory::PCI_WINDOW_32;

/// BARs of one function, in the order of their registers: width and size.
fn any_bars() -> impl Strategy<Value = Vec<BarSpec>> {
    let width = prop_oneof![
        Just(BarWidth::Bits32),
        Just(BarWidth::Bits64),
        Just(BarWidth::Bits64Prefetchable),
    ];
    prop::collection::vec((width, 12..39_u32), 0..=3).prop_map(|bars| {
        let spec = |(place, (width, bits)): (u8, (BarWidth, u32))| BarSpec {
            bar: Bar(place * 2),
            size: match width {
                // Some sets fit into 512 MiB, and some don't.
                BarWidth::Bits32 => 1 << bits.min(28),
                _ => 1 << bits,
            },
            width,
        };
        (0..).zip(bars).map(spec).collect()
    })
}

fn function(specs: &[BarSpec]) -> Box<Tagged> {
    let (mut function, _) = tagged(1, 4096, BarWidth::Bits32);
    function.config = ConfigSpace::new(&Identity {
        vendor: 0x1111,
        device: 1,
        revision: 0,
        class: [0xff, 0, 0],
        subsystem_vendor: 0,
        subsystem: 0,
    });
    for spec in specs {
        function.config.add_bar(*spec).unwrap();
    }
    function
}

/// Where the registers say that a BAR is.
fn place(root: &mut PciRoot, device: u8, spec: &BarSpec) -> Range<u64> {
    let register = 0x10 + u64::from(spec.bar.0) * 4;
    let low = u64::from(config_word(root, device, register) & !0xf);
    let high = match spec.width {
        BarWidth::Bits32 => 0,
        _ => u64::from(config_word(root, device, register + 4)),
    };
    let start = high << 32 | low;
    start..start + spec.size
}

proptest! {
    #[test]
    fn bars_of_any_set_are_aligned_apart_and_in_their_windows(
        ram_mib in 256..1_u64 << 18,
        sets in prop::collection::vec(any_bars(), 0..=16),
    ) {
        let wide = sets.iter().flatten().filter(|spec| spec.width != BarWidth::Bits32);
        let layout = Layout::new(ram_mib << 20).unwrap();
        let layout = layout.with_devices(wide.map(|spec| spec.size).sum(), 48).unwrap();
        let above_ram = layout.pci_window_64();
        let mut root = PciRoot::new(PciWindows::from(&layout));
        let mut taken: Vec<Range<u64>> = Vec::new();
        for specs in &sets {
            let address = match root.add(function(specs)) {
                Ok(address) => address,
                Err(error) => {
                    // The window below 4 GiB is as large as it is; the other one is made to fit.
                    let AddError::WindowFull { bar, size } = error else {
                        return Err(TestCaseError::fail(format!("{error}")));
                    };
                    let of_bar = |spec: &&BarSpec| spec.bar.0 == bar && spec.size == size;
                    let full = specs.iter().find(of_bar).unwrap();
                    prop_assert_eq!(full.width, BarWidth::Bits32);
                    continue;
                }
            };
            for spec in specs {
                let range = place(&mut root, address.device, spec);
                prop_assert!(range.start.is_multiple_of(spec.size), "{range:x?} of {spec:?}");
                let window = match spec.width {
                    BarWidth::Bits32 => &PCI_WINDOW_32,
                    _ => &above_ram,
                };
                prop_assert!(
                    window.start <= range.start && range.end <= window.end,
                    "{range:x?} of {spec:?} outside {window:x?}"
                );
                let over = taken.iter().find(|other| range.start < other.end && other.start < range.end);
                prop_assert!(over.is_none(), "{range:x?} over {over:x?}");
                taken.push(range);
            }
        }
        // What did not fit has left nothing: all that is claimed belongs to those that are there.
        prop_assert_eq!(root.claimed.len(), taken.len());
        // And decodes as it was placed, all at once.
        for device in 1..u8::try_from(root.functions.len()).unwrap() {
            set_config(&mut root, device, 4, 2);
        }
        for range in &taken {
            prop_assert_eq!(read_bar(&mut root, range.start), Some(1));
            prop_assert_eq!(read_bar(&mut root, range.end - 1), Some(1));
        }
    }
}
