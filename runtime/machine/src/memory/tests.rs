//! What a size of RAM makes of the address space.

use std::ops::Range;

use vm_memory::{Bytes, GuestMemoryBackend};

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

#[test]
fn ram_begins_at_a_huge_page_of_the_host() {
    let layout = Layout::new(4 * GIB).unwrap();
    let ram = map(&layout).unwrap();
    for start in [0, 4 * GIB] {
        let host = ram
            .get_host_address(vm_memory::GuestAddress(start))
            .unwrap();
        assert_eq!(host.addr() % (2 << 20), 0, "RAM at {start:#x}");
    }
}

#[test]
fn range_that_is_expected_is_backed_by_huge_pages_where_the_host_has_them() {
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    match setting {
        Ok(setting) if !setting.contains("[never]") => {}
        _ => {
            println!("SKIPPED: this host has no transparent huge pages");
            return;
        }
    }
    let ram = map(&Layout::new(64 * MIB).unwrap()).unwrap();
    // Not from the first byte of a huge page, and not to the last one.
    super::expect_all_of(&ram, &(3 * MIB..9 * MIB));
    let host = ram
        .get_host_address(vm_memory::GuestAddress(0))
        .unwrap()
        .addr();
    for page in (0..12 * MIB).step_by(4096) {
        ram.write_slice(&[1], vm_memory::GuestAddress(page))
            .unwrap();
    }
    let huge_kib: u64 = smaps(host)
        .lines()
        .filter_map(|line| line.strip_prefix("AnonHugePages:"))
        .map(|rest| rest.trim_end_matches("kB").trim().parse::<u64>().unwrap())
        .sum();
    // The two whole ones between 4 and 8 MiB, and no other: the host may be short of them.
    assert!(huge_kib <= 4096, "{huge_kib} KiB");
}

/// What the kernel says of the mappings of 64 MiB from this address on.
fn smaps(host: usize) -> String {
    let all = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    let mut found = String::new();
    for line in all.lines() {
        if let Some((start, rest)) = line.split_once('-')
            && let Ok(start) = usize::from_str_radix(start, 16)
            && rest.contains(' ')
        {
            inside = (host..host + (64 << 20)).contains(&start);
        }
        if inside {
            found.push_str(line);
            found.push('\n');
        }
    }
    found
}

#[test]
fn window_for_devices_grows_with_them_up_to_the_processors_reach() {
    let layout = Layout::new(8 << 30).unwrap();
    let own = layout.pci_window_64();
    let gpus = layout.with_devices(8 * (256 << 30), 48).unwrap();
    let window = gpus.pci_window_64();
    assert_eq!(window.start, own.start);
    assert!(window.end - own.end >= 2 * 8 * (256 << 30));
    assert_eq!(layout.with_devices(0, 36).unwrap(), layout);
    for (bytes, bits) in [(256 << 30, 39), (u64::MAX, 48), (1 << 63, 48)] {
        let error = layout.with_devices(bytes, bits).unwrap_err();
        assert!(error.to_string().contains("address bits"), "{error}");
    }
}
