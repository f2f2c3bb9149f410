//! Sets of GPUs as they are sold, and random ones: nothing overlaps, all is aligned, what does not fit is named.

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What a machine with its devices below 4 GiB leaves: 512 MiB.
const LOW: Range<u64> = 0xd000_0000..0xf000_0000;

fn bar(index: u8, size: u64, width: Width, prefetchable: bool) -> Bar {
    Bar {
        index,
        size,
        width,
        prefetchable,
    }
}

fn demand(device: u8, bars: Vec<Bar>) -> Demand {
    let function = format!("0000:{device:02x}:00.0").parse().unwrap();
    Demand { function, bars }
}

/// Of the B200's kind.
fn large(device: u8) -> Demand {
    let bar = |index, size| bar(index, size, Width::Bits64, true);
    demand(
        device,
        vec![bar(0, 64 * MIB), bar(2, 256 * GIB), bar(4, 32 * MIB)],
    )
}

/// Of the L40S' and A100's kind: registers of 32 bits.
fn older(device: u8) -> Demand {
    let prefetchable = |index, size| bar(index, size, Width::Bits64, true);
    let registers = bar(0, 16 * MIB, Width::Bits32, false);
    demand(
        device,
        vec![
            registers,
            prefetchable(1, 64 * GIB),
            prefetchable(3, 32 * MIB),
        ],
    )
}

fn windows(ram_gib: u64, phys_bits: u8) -> Windows {
    Windows::new(LOW, 4 * GIB + ram_gib * GIB, phys_bits).unwrap()
}

/// What must hold of any placement.
fn check(demands: &[Demand], windows: &Windows, placement: &Placement) {
    assert_eq!(placement.ports.len(), demands.len());
    let mut taken: Vec<Range<u64>> = Vec::new();
    let mut take = |range: Range<u64>| {
        assert!(
            taken
                .iter()
                .all(|other| range.end <= other.start || other.end <= range.start)
        );
        taken.push(range);
    };
    for (place, (port, demand)) in placement.ports.iter().zip(demands).enumerate() {
        assert_eq!(
            (port.function, usize::from(port.bus)),
            (demand.function, place + 1)
        );
        for (window, room) in [
            (&port.memory, &windows.low),
            (&port.prefetchable, &windows.high),
        ] {
            let Some(window) = window else { continue };
            assert!(
                window.start < window.end && room.start <= window.start && window.end <= room.end
            );
            assert!(window.start.is_multiple_of(MIB) && window.end.is_multiple_of(MIB));
            take(window.clone());
        }
        check_bars(port, demand);
    }
}

fn check_bars(port: &Port, demand: &Demand) {
    assert_eq!(port.bars.len(), demand.bars.len());
    for placed in &port.bars {
        let bar = demand
            .bars
            .iter()
            .find(|bar| bar.index == placed.index)
            .unwrap();
        assert_eq!(placed.size, bar.size);
        assert!(placed.address.is_multiple_of(bar.size.max(4096)));
        let prefetchable = bar.width == Width::Bits64 && bar.prefetchable;
        let window = if prefetchable {
            &port.prefetchable
        } else {
            &port.memory
        };
        let window = window.as_ref().unwrap();
        assert!(window.start <= placed.address && placed.address + placed.size <= window.end);
        let end = placed.address + placed.size.max(4096);
        let alone = port.bars.iter().filter(|other| other.index != placed.index);
        for other in alone {
            assert!(end <= other.address || other.address + other.size <= placed.address);
        }
    }
}

#[test]
fn eight_largest_gpus_have_a_port_and_aligned_windows_each() {
    let demands: Vec<_> = (1..=8).map(large).collect();
    let windows = windows(2048, 46);
    let placement = place(&demands, &windows).unwrap();
    check(&demands, &windows, &placement);
    let first = placement.ports.first().unwrap();
    assert_eq!(first.memory, None);
    let second = first.bars.get(1).unwrap();
    assert_eq!((second.index, second.address % (256 * GIB)), (2, 0));
}

#[test]
fn ports_follow_the_devices_however_many() {
    // Eight GPUs, each with its audio function: a fixed number of ports was too few for others.
    let audio = |device| demand(device, vec![bar(0, 16 << 10, Width::Bits32, false)]);
    let demands: Vec<_> = (1..=8).map(older).chain((0x81..=0x88).map(audio)).collect();
    let windows = windows(64, 46);
    check(&demands, &windows, &place(&demands, &windows).unwrap());
    let many: Vec<_> = (1..=17).map(audio).collect();
    assert_eq!(
        place(&many, &windows).unwrap_err().to_string(),
        "17 functions are more than the 16 that a VM can have"
    );
}

#[test]
fn two_gpus_share_the_gap_between_them() {
    // On a host of 39 address bits one of the largest fits, though there is one multiple of 256 GiB only above RAM.
    let windows = windows(1, 39);
    let demands = [large(1)];
    check(&demands, &windows, &place(&demands, &windows).unwrap());
    // Eight in a row end after 12 times 256 GiB, not after 16.
    let demands: Vec<_> = (1..=8).map(large).collect();
    let windows = Windows {
        low: LOW,
        high: 256 * GIB..(256 * GIB * 13),
    };
    check(&demands, &windows, &place(&demands, &windows).unwrap());
}

#[test]
fn function_without_bars_has_a_port_and_no_window() {
    let placement = place(&[demand(1, Vec::new())], &windows(1, 39)).unwrap();
    let port = placement.ports.first().unwrap();
    assert_eq!(
        (&port.memory, &port.prefetchable, port.bars.len()),
        (&None, &None, 0)
    );
}

#[test]
fn gpu_that_the_address_bits_leave_no_room_for_is_named() {
    let check = |demands: &[Demand], windows: &Windows, expect: &str| {
        let error = place(demands, windows).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    // More memory took the room of GPUs away, silently elsewhere.
    assert!(place(&[large(1)], &windows(100, 40)).is_ok());
    check(
        &[large(1)],
        &windows(900, 40),
        "the BARs of 0000:01:00.0 need 0x4006000000 bytes above RAM, and of 0xe200000000 to 0x10000000000 0x1e00000000 are left",
    );
    let two = [large(1), large(2)];
    check(&two, &windows(1, 39), "the BARs of 0000:02:00.0 need");
    check(
        &two,
        &windows(1, 39),
        "less memory, or a host whose processor has more address bits",
    );
    let registers = vec![bar(0, 512 * MIB, Width::Bits32, false)];
    let two = [demand(1, registers.clone()), demand(2, registers)];
    check(
        &two,
        &windows(1, 46),
        "the BARs of 0000:01:00.0 need 0x20000000 bytes below 4 GiB",
    );
    let odd = demand(1, vec![bar(3, 24, Width::Bits64, true)]);
    check(
        &[odd],
        &windows(1, 46),
        "BAR 3 of 0000:01:00.0 has 0x18 bytes, which is no power of two",
    );
    let vast = bar(0, 1 << 63, Width::Bits64, true);
    let vast = demand(1, vec![vast, Bar { index: 2, ..vast }]);
    check(&[vast], &windows(1, 64), "the BARs of 0000:01:00.0 need");
}

#[test]
fn windows_that_are_none_are_refused() {
    let error = Windows::new(LOW, 1 << 40, 39).unwrap_err().to_string();
    assert_eq!(
        error,
        "the address space 0x10000000000 to 0x8000000000 is no window above RAM"
    );
    let error = Windows::new(0..5 * GIB, 4 * GIB, 46)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the address space 0x0 to 0x140000000 is no window below 4 GiB"
    );
}

fn any_bars() -> impl Strategy<Value = Vec<Bar>> {
    let one = (4_u32..=38, any::<bool>(), any::<bool>());
    prop::collection::vec(one, 0..=3).prop_map(|sizes| {
        (0..)
            .zip(sizes)
            .map(|(place, (bits, wide, prefetchable))| {
                // A BAR of 32 bits has at most 256 MiB here, so that some sets fit.
                let (width, bits) = if wide {
                    (Width::Bits64, bits)
                } else {
                    (Width::Bits32, bits.min(28))
                };
                let bits = if prefetchable { bits } else { bits.min(28) };
                bar(place * 2, 1 << bits, width, prefetchable)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn any_set_is_placed_without_overlap_and_aligned_or_says_what_does_not_fit(
        sets in prop::collection::vec(any_bars(), 0..=MAX_FUNCTIONS),
        phys_bits in 36_u8..=52,
        ram_gib in 1_u64..=32,
    ) {
        let demands: Vec<_> = (1..).zip(sets).map(|(device, bars)| demand(device, bars)).collect();
        let windows = windows(ram_gib, phys_bits);
        match place(&demands, &windows) {
            Ok(placement) => check(&demands, &windows, &placement),
            Err(PlacementError::NoRoom { function, need, left, .. }) => {
                // It is one of those asked for, and there is less left than its bytes and the gap before them.
                let demand = demands.iter().find(|demand| demand.function == function).unwrap();
                let largest = demand.bars.iter().map(|bar| bar.size).max().unwrap().max(MIB);
                prop_assert!(left < need + largest);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn sets_of_the_largest_gpus_always_fit_below_52_bits(count in 0_u8..=16) {
        let demands: Vec<_> = (0..count).map(|device| if device % 2 == 0 { large(device + 1) } else { older(device + 1) }).collect();
        let windows = windows(2048, 52);
        check(&demands, &windows, &place(&demands, &windows).unwrap());
    }
}
