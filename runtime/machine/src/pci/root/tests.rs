//! The bus with plain functions on it.

mod sets;

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

mod ports;

use super::{AddError, NoSuchFunction, PciAddress, PciRoot, PciWindows, first_gap, in_slot};
use crate::memory::Layout;
use crate::pci::{Bar, BarChange, BarSpec, BarWidth, ConfigSpace, Identity, PciFunction};

const WINDOWS: PciWindows = PciWindows {
    below_4_gib: 0xc000_0000..0xc010_0000,
    above_ram: 0x1_0000_0000..0x1_0010_0000,
};

type Moves = Arc<Mutex<Vec<BarChange>>>;

/// Answers reads of its BAR with its tag.
#[derive(Debug)]
struct Tagged {
    config: ConfigSpace,
    tag: u8,
    moves: Moves,
}

fn tagged(tag: u8, size: u64, width: BarWidth) -> (Box<Tagged>, Moves) {
    let mut config = ConfigSpace::new(&Identity {
        vendor: 0x1111,
        device: tag.into(),
        revision: 0,
        class: [0xff, 0, 0],
        subsystem_vendor: 0,
        subsystem: 0,
    });
    let spec = BarSpec {
        bar: Bar(0),
        size,
        width,
    };
    config.add_bar(spec).unwrap();
    let moves = Moves::default();
    let function = Tagged {
        config,
        tag,
        moves: Arc::clone(&moves),
    };
    (Box::new(function), moves)
}

impl PciFunction for Tagged {
    fn config_read(&mut self, offset: u16, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    fn config_write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        self.config.write(offset, data)
    }

    fn bars(&self) -> Vec<(Bar, u64, Option<u64>)> {
        self.config.bars()
    }

    fn bar_moved(&mut self, change: BarChange) {
        self.moves.lock().unwrap().push(change);
    }

    fn bar_read(&mut self, _bar: Bar, _offset: u64, data: &mut [u8]) {
        data.fill(self.tag);
    }

    fn bar_write(&mut self, _bar: Bar, _offset: u64, _data: &[u8]) {}

    fn unplug(&mut self) {}
}

fn config_word(root: &mut PciRoot, device: u8, register: u64) -> u32 {
    let mut data = [0; 4];
    root.config_read((u64::from(device) << 15) + register, &mut data);
    u32::from_le_bytes(data)
}

fn set_config(root: &mut PciRoot, device: u8, register: u64, value: u32) {
    let offset = (u64::from(device) << 15) + register;
    root.config_write(offset, &value.to_le_bytes());
}

fn read_bar(root: &mut PciRoot, address: u64) -> Option<u8> {
    let mut data = [0];
    root.bar_read(address, &mut data).then_some(data[0])
}

fn slot(device: u8) -> PciAddress {
    PciAddress {
        bus: 0,
        device,
        function: 0,
    }
}

#[test]
fn bus_without_functions_has_a_host_bridge_and_ones() {
    let mut root = PciRoot::new(WINDOWS);
    assert_eq!(config_word(&mut root, 0, 0), 0x0008_1b36);
    assert_eq!(config_word(&mut root, 0, 8) >> 16, 0x0600);
    assert_eq!(config_word(&mut root, 1, 0), u32::MAX);
    for offset in [1 << 12, 1 << 20, 0xfff_fffc] {
        let mut data = [0; 4];
        root.config_read(offset, &mut data);
        assert_eq!(data, [0xff; 4], "{offset:#x}");
        root.config_write(offset, &[0; 4]);
    }
    for (offset, length) in [(1, 2), (2, 4), (0, 8), (0, 3)] {
        let mut data = vec![0; length];
        root.config_read(offset, &mut data);
        assert_eq!(data, vec![0xff; length], "no function sees that access");
    }
}

#[test]
fn functions_fill_the_bus_and_slots_come_free() {
    let mut root = PciRoot::new(WINDOWS);
    for tag in 1..32 {
        let (function, _) = tagged(tag, 4096, BarWidth::Bits32);
        assert_eq!(root.add(function).unwrap(), slot(tag));
    }
    let (function, _) = tagged(99, 4096, BarWidth::Bits32);
    assert_eq!(root.add(function).unwrap_err(), AddError::BusFull);

    let old = config_word(&mut root, 7, 0x10);
    root.remove(slot(7)).unwrap();
    assert_eq!(config_word(&mut root, 7, 0), u32::MAX);
    let (function, _) = tagged(100, 4096, BarWidth::Bits32);
    assert_eq!(root.add(function).unwrap(), slot(7));
    assert_eq!(config_word(&mut root, 7, 0x10), old, "its addresses, too");
    for address in [slot(0), PciAddress { bus: 1, ..slot(3) }] {
        let error = root.remove(address).unwrap_err();
        assert_eq!(error, NoSuchFunction { address });
    }
}

#[test]
fn bars_get_addresses_by_width_until_the_window_is_full() {
    let mut root = PciRoot::new(WINDOWS);
    for (tag, size, width, expect) in [
        (1, 0x1000, BarWidth::Bits32, 0xc000_0000),
        (2, 0x8_0000, BarWidth::Bits32, 0xc008_0000),
        (3, 0x1000, BarWidth::Bits32, 0xc000_1000),
        (4, 0x10_0000, BarWidth::Bits64, 0x1_0000_0000),
        (5, 0x1000, BarWidth::Bits64Prefetchable, 0xc000_2000),
    ] {
        let (function, _) = tagged(tag, size, width);
        root.add(function).unwrap();
        let low = u64::from(config_word(&mut root, tag, 0x10) & !0xf);
        let high = u64::from(config_word(&mut root, tag, 0x14));
        assert_eq!(high << 32 | low, expect, "function {tag}");
    }
    let (function, _) = tagged(6, 0x10_0000, BarWidth::Bits64);
    let error = root.add(function).unwrap_err();
    let size = 0x10_0000;
    assert_eq!(error, AddError::WindowFull { bar: 0, size });
    assert_eq!(config_word(&mut root, 6, 0), u32::MAX);
}

#[test]
fn bar_decodes_only_when_enabled_and_where_moved() {
    let mut root = PciRoot::new(WINDOWS);
    let (function, moves) = tagged(1, 4096, BarWidth::Bits32);
    root.add(function).unwrap();
    assert_eq!(read_bar(&mut root, 0xc000_0000), None);
    set_config(&mut root, 1, 4, 2);
    assert_eq!(read_bar(&mut root, 0xc000_0fff), Some(1));
    assert_eq!(read_bar(&mut root, 0xc000_1000), None);
    assert!(!root.bar_read(0xc000_0ffd, &mut [0; 4]), "over its end");

    set_config(&mut root, 1, 0x10, 0xc000_8000);
    assert_eq!(read_bar(&mut root, 0xc000_0000), None);
    assert_eq!(read_bar(&mut root, 0xc000_8000), Some(1));
    let moves: Vec<_> = moves
        .lock()
        .unwrap()
        .iter()
        .map(|m| (m.from, m.to))
        .collect();
    assert_eq!(
        moves,
        [
            (None, Some(0xc000_0000)),
            (Some(0xc000_0000), Some(0xc000_8000))
        ]
    );
}

#[test]
fn bar_put_over_ram_or_another_bar_decodes_nowhere() {
    let mut root = PciRoot::new(WINDOWS);
    let (first, _) = tagged(1, 4096, BarWidth::Bits32);
    let (second, moves) = tagged(2, 4096, BarWidth::Bits32);
    root.add(first).unwrap();
    root.add(second).unwrap();
    set_config(&mut root, 1, 4, 2);
    set_config(&mut root, 2, 4, 2);
    for taken in [
        0x10_0000,
        0xfee0_0000,
        0xffff_ffff,
        0xc00f_f800,
        0xc000_0000,
    ] {
        set_config(&mut root, 2, 0x10, taken);
        let inside = taken == 0xc00f_f800; // The low bits don't count.
        let last = *moves.lock().unwrap().last().unwrap();
        assert_eq!(last.to.is_some(), inside, "{taken:#x}");
    }
    assert_eq!(read_bar(&mut root, 0xc000_0000), Some(1), "who was first");
    set_config(&mut root, 2, 0x10, 0xc000_4000);
    assert_eq!(read_bar(&mut root, 0xc000_4000), Some(2));
    root.remove(slot(2)).unwrap();
    assert_eq!(read_bar(&mut root, 0xc000_4000), None);
}

proptest! {
    #[test]
    fn gap_found_is_aligned_inside_and_free(
        claimed in prop::collection::vec((0_u64..64, 0_u32..4), 0..20),
        size in 0_u32..6,
    ) {
        let window = 0x10_0000..0x14_0000;
        let page = 4096;
        let claimed: Vec<_> = claimed
            .iter()
            .map(|(start, pages)| {
                let start = window.start + start * page;
                start..start + (page << pages)
            })
            .collect();
        let size = page << size;
        let free = |address: u64| {
            address + size <= window.end
                && claimed.iter().all(|range| range.end <= address || address + size <= range.start)
        };
        let expect = (window.start..window.end)
            .step_by(usize::try_from(size).unwrap())
            .find(|address| free(*address));
        prop_assert_eq!(first_gap(&window, claimed.iter(), size), expect);
    }
}

proptest! {
    /// GPUs of up to 256 GiB beside our own small devices, in any order: the window that the layout makes for them has room.
    #[test]
    fn window_for_devices_has_room_for_any_set_of_their_bars(
        ram_mib in 256..1_u64 << 18,
        bits in prop::collection::vec(12..39_u32, 1..24),
    ) {
        let sizes: Vec<u64> = bits.into_iter().map(|bits| 1 << bits).collect();
        let layout = Layout::new(ram_mib << 20).unwrap();
        let layout = layout.with_devices(sizes.iter().sum(), 48).unwrap();
        let mut root = PciRoot::new(PciWindows::from(&layout));
        let own = tagged(0, 32 << 10, BarWidth::Bits64).0;
        root.add(own).unwrap();
        for size in &sizes {
            let added = root.add(tagged(1, *size, BarWidth::Bits64Prefetchable).0);
            prop_assert!(added.is_ok(), "no room for {size:#x} in {layout:?}");
        }
        let mut places: Vec<_> = root.claimed.values().cloned().collect();
        places.sort_by_key(|place| place.start);
        let window = layout.pci_window_64();
        for place in &places {
            prop_assert_eq!(place.start % (place.end - place.start), 0);
            prop_assert!(window.start <= place.start && place.end <= window.end, "{place:?} below 4 GiB");
        }
        prop_assert!(places.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}
