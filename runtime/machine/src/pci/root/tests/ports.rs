//! Root ports, and functions behind them.

use proptest::prelude::*;

use super::{Moves, Tagged, WINDOWS, in_slot, read_bar, slot, tagged};
use crate::{
    memory::Layout,
    pci::{
        Bar, BarSpec, BarWidth, PciAddress, PciRoot, PciWindows, PortRoom,
        root::{AddError, NoSuchFunction, behind},
    },
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn room(bars: &[(u64, BarWidth)]) -> PortRoom {
    let spec = |(size, width): &(u64, BarWidth)| BarSpec {
        bar: Bar(0),
        size: *size,
        width: *width,
    };
    PortRoom::of(bars.iter().map(spec))
}

fn offset(address: PciAddress, register: u64) -> u64 {
    let PciAddress {
        bus,
        device,
        function,
    } = address;
    u64::from(bus) << 20 | u64::from(device) << 15 | u64::from(function) << 12 | register
}

fn word(root: &mut PciRoot, address: PciAddress, register: u64) -> u32 {
    let mut data = [0; 4];
    root.config_read(offset(address, register), &mut data);
    u32::from_le_bytes(data)
}

fn bar(root: &mut PciRoot, address: PciAddress) -> u64 {
    let low = u64::from(word(root, address, 0x10) & !0xf);
    u64::from(word(root, address, 0x14)) << 32 | low
}

fn function(size: u64, width: BarWidth) -> (Box<Tagged>, Moves) {
    tagged(7, size, width)
}

/// Windows of 512 MiB below and 64 GiB above.
fn windows() -> PciWindows {
    PciWindows::from(&Layout::new(GIB).unwrap())
}

#[test]
fn port_is_a_bridge_to_a_bus_with_windows() {
    let mut root = PciRoot::new(windows());
    root.add_port(&room(&[
        (16 << 10, BarWidth::Bits64),
        (4 * GIB, BarWidth::Bits64Prefetchable),
        (32 * MIB, BarWidth::Bits64Prefetchable),
    ]))
    .unwrap();
    let port = in_slot(1, 0);
    assert_eq!(word(&mut root, port, 0), 0x000c_1b36);
    assert_eq!(word(&mut root, port, 8) >> 16, 0x0604);
    assert_eq!(word(&mut root, port, 0xc) >> 16, 0x81, "of many functions");
    assert_eq!(word(&mut root, port, 0x18), 0x0001_0100);
    assert_eq!(word(&mut root, port, 0x1c) & 0xffff, 0, "no I/O ports");
    assert_eq!(word(&mut root, port, 0x20), 0xc000_c000, "1 MiB");
    // Above RAM, from 4 GiB on: 4 GiB and 32 MiB.
    assert_eq!(word(&mut root, port, 0x24), 0x01f1_0001);
    assert_eq!(word(&mut root, port, 0x28), 1);
    assert_eq!(word(&mut root, port, 0x2c), 2);
    assert_eq!(word(&mut root, port, 0x34), 0x40);
    assert_eq!(word(&mut root, port, 0x40), 0x0042_0010, "a root port");
    // Numbers stay, windows are the guest's to write.
    for register in [0x18, 0x24] {
        root.config_write(offset(port, register), &0x5550_5550_u32.to_le_bytes());
    }
    assert_eq!(word(&mut root, port, 0x18), 0x0001_0100);
    assert_eq!(word(&mut root, port, 0x24), 0x5551_5551);
    assert_eq!(word(&mut root, behind(1), 0), u32::MAX, "nothing is there");
}

#[test]
fn port_without_bars_has_windows_the_wrong_way_round() {
    let mut root = PciRoot::new(windows());
    root.add_port(&room(&[])).unwrap();
    assert_eq!(word(&mut root, in_slot(1, 0), 0x20), 0x0000_fff0);
    assert_eq!(word(&mut root, in_slot(1, 0), 0x24), 0x0001_fff1);
}

#[test]
fn function_behind_a_port_decodes_in_its_windows() {
    let mut root = PciRoot::new(windows());
    root.add(function(4096, BarWidth::Bits32).0).unwrap();
    for bars in [
        [(MIB, BarWidth::Bits64)],
        [(MIB, BarWidth::Bits64Prefetchable)],
    ] {
        root.add_port(&room(&bars)).unwrap();
    }
    // The first port has no window above.
    let (above, _) = tagged(2, MIB, BarWidth::Bits64Prefetchable);
    assert_eq!(root.add_behind_port(above).unwrap(), behind(1));
    assert_eq!(bar(&mut root, behind(1)), 0xc010_0000);
    let (second, moves) = tagged(3, MIB, BarWidth::Bits64Prefetchable);
    assert_eq!(root.add_behind_port(second).unwrap(), behind(2));
    assert_eq!(bar(&mut root, behind(2)), 4 * GIB);
    assert_eq!(read_bar(&mut root, 4 * GIB), None);
    root.config_write(offset(behind(2), 4), &[2, 0]);
    assert_eq!(read_bar(&mut root, 4 * GIB), Some(3));
    assert_eq!(moves.lock().unwrap().len(), 1);

    // What does not fit, or has no port left, lies on bus 0, and not in what the ports have.
    let (third, _) = tagged(4, MIB, BarWidth::Bits64);
    let place = root.add_behind_port(third).unwrap();
    assert_eq!(place.bus, 0);
    assert_eq!(bar(&mut root, place), 4 * GIB + MIB);

    root.remove(behind(2)).unwrap();
    assert_eq!(read_bar(&mut root, 4 * GIB), None);
    assert_eq!(word(&mut root, behind(2), 0), u32::MAX);
    let (again, _) = tagged(5, MIB, BarWidth::Bits64Prefetchable);
    assert_eq!(root.add_behind_port(again).unwrap(), behind(2));
    assert_eq!(bar(&mut root, behind(2)), 4 * GIB);
}

#[test]
fn port_says_the_payload_of_its_function() {
    let mut root = PciRoot::new(windows());
    root.add_port(&PortRoom::spare(MIB, MIB)).unwrap();
    let (mut function, _) = function(4096, BarWidth::Bits32);
    // A capability before it, then PCI Express, with a largest payload of 512 bytes.
    function.config.add_capability(9, &[4, 0], &[]).unwrap();
    let body = [2, 0, 5, 0, 0, 0, 0b0101_0000, 0x20];
    function.config.add_capability(0x10, &body, &[]).unwrap();
    root.add_behind_port(function).unwrap();
    assert_eq!(word(&mut root, in_slot(1, 0), 0x48) & 0xffff, 0b0100_0000);
}

#[test]
fn eight_ports_share_a_slot_and_none_can_be_removed() {
    let mut root = PciRoot::new(windows());
    root.add(function(4096, BarWidth::Bits32).0).unwrap();
    for _ in 0..9 {
        root.add_port(&PortRoom::spare(MIB, MIB)).unwrap();
    }
    for (address, bus) in [(in_slot(2, 0), 1), (in_slot(2, 7), 8), (in_slot(3, 0), 9)] {
        assert_eq!(word(&mut root, address, 0x18) >> 8 & 0xff, bus);
        let error = root.remove(address).unwrap_err();
        assert_eq!(error, NoSuchFunction { address });
    }
    assert_eq!(
        root.add(function(4096, BarWidth::Bits32).0).unwrap(),
        slot(4)
    );
    let size = 4 * MIB;
    let error = PciRoot::new(WINDOWS).add_port(&PortRoom::spare(size, 0));
    assert_eq!(error, Err(AddError::NoWindow { size }));
}

proptest! {
    /// To 16 functions with BARs to 256 GiB, each behind a port of its own.
    #[test]
    fn what_is_behind_ports_never_overlaps_and_always_aligns(
        wanted in prop::collection::vec((12..39_u32, any::<bool>()), 1..17),
    ) {
        let bars: Vec<_> = wanted
            .into_iter()
            .map(|(bits, above)| match above {
                true => (1_u64 << bits, BarWidth::Bits64Prefetchable),
                false => (1 << (12 + bits % 10), BarWidth::Bits64),
            })
            .collect();
        let bytes = bars.iter().map(|(size, _)| (*size).max(MIB)).sum();
        let layout = Layout::new(GIB).unwrap().with_devices(bytes, 48).unwrap();
        let mut root = PciRoot::new(PciWindows::from(&layout));
        root.add(tagged(0, 32 << 10, BarWidth::Bits64).0).unwrap();
        for bar in &bars {
            root.add_port(&room(&[*bar])).unwrap();
        }
        for (size, width) in &bars {
            // The first port that fits, which need not be its own.
            root.add_behind_port(tagged(1, *size, *width).0).unwrap();
        }
        for ((owner, _), place) in &root.claimed {
            prop_assert_eq!(place.start % (place.end - place.start), 0);
            let port = root.ports.iter().find(|port| port.bus == owner.bus);
            let inside = |window: &std::ops::Range<u64>| window.start <= place.start && place.end <= window.end;
            prop_assert!(port.is_none_or(|port| port.windows.both().any(inside)));
        }
        let windows = root.ports.iter().flat_map(|port| port.windows.both());
        let of_bus_0 = root.claimed.iter().filter(|((owner, _), _)| owner.bus == 0);
        let mut places: Vec<_> = windows.chain(of_bus_0.map(|(_, place)| place)).collect();
        places.sort_by_key(|place| place.start);
        prop_assert!(places.windows(2).all(|pair| pair[0].end <= pair[1].start));
        let inside = [layout.pci_window_64(), crate::memory::PCI_WINDOW_32];
        let fits = places.iter().all(|place| {
            let mut inside = inside.iter();
            inside.any(|window| window.start <= place.start && place.end <= window.end)
        });
        prop_assert!(fits);
    }
}
