//! What a size of RAM makes of the address space.

use std::ops::Range;

use vm_memory::GuestMemoryBackend;

use super::{GIB, Layout, MIB, map};

fn check(ram: u64, low: Range<u64>, above: Option<&Range<u64>>, window: u64) {
    let layout = Layout::new(ram).unwrap();
    assert_eq!(layout.low_ram(), low);
    assert_eq!(layout.ram_above().as_ref(), above);
    assert_eq!(layout.pci_window_64().start, window);
}

#[test]
fn layout_of_any_size_leaves_the_hole_below_4_gib() {
    check(128 * MIB, 0..128 * MIB, None, 4 * GIB);
    check(3 * GIB, 0..3 * GIB, None, 4 * GIB);
    check(
        3 * GIB + 4096,
        0..3 * GIB,
        Some(&(4 * GIB..4 * GIB + 4096)),
        5 * GIB,
    );
    check(8 * GIB, 0..3 * GIB, Some(&(4 * GIB..9 * GIB)), 9 * GIB);
}

#[test]
fn layout_of_a_size_that_cannot_be_is_refused() {
    for bytes in [0, MIB, 128 * MIB + 1, 1 << 60] {
        let error = Layout::new(bytes).unwrap_err();
        assert!(error.to_string().contains(&bytes.to_string()), "{error}");
    }
}

#[test]
fn map_of_a_big_machine_costs_nothing_until_touched() {
    let layout = Layout::new(64 * GIB).unwrap();
    let ram = map(&layout).unwrap();
    assert_eq!(ram.num_regions(), 2);
    assert_eq!(ram.last_addr().0, layout.ram_above().unwrap().end - 1);
}
