//! Mappings of files, and their slots on this machine's KVM.

use std::os::fd::AsFd;

use super::{Mapping, Window};
use crate::{kvm::tests::vm_or_skip, memory::Layout};

fn mapping(length: u64) -> Mapping {
    let file = tempfile::tempfile().unwrap();
    file.set_len(length).unwrap();
    Mapping::of(file.as_fd(), 0, length).unwrap()
}

#[test]
fn mapping_is_as_aligned_as_it_is_long() {
    for length in [4096, 2 << 20, 3 << 20, 64 << 20] {
        let mapping = mapping(length);
        let align = usize::try_from(length.next_power_of_two()).unwrap();
        assert_eq!(mapping.address % align, 0, "{length}");
    }
}

#[test]
fn mapping_of_what_can_not_be_mapped_is_an_error() {
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(Mapping::of(file.as_fd(), 0, 4096).is_err());
}

#[test]
fn window_follows_its_bar_and_gives_its_slot_back() {
    let Some((vm, _ram)) = vm_or_skip("window_follows_its_bar") else {
        return;
    };
    let bar = Layout::new(32 << 20).unwrap().pci_window_64().start;
    let mut window = Window::new(&vm, 0x1000, mapping(8192));
    let slot = window.slot;
    for place in [Some(bar), Some(bar + (1 << 20)), None, Some(bar)] {
        window.follow(place).unwrap();
        assert_eq!(window.place, place.map(|bar| bar + 0x1000));
    }
    let mut other = Window::new(&vm, 0x1000, mapping(4096));
    assert_ne!(other.slot, slot);
    // KVM takes no two slots in one place: so the first is really there.
    other.follow(Some(bar)).unwrap_err();
    drop(window);
    other.follow(Some(bar)).unwrap();
    assert_eq!(Window::new(&vm, 0, mapping(4096)).slot, slot);
}
