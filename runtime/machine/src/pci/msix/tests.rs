//! The table as a driver writes it, and what the vectors do.

use super::{Msix, MsixError, MsixPlace};
use crate::{
    interrupt::Interrupts,
    kvm::tests::vm_or_skip,
    pci::{Bar, ConfigSpace, Identity},
};

const PLACE: MsixPlace = MsixPlace {
    bar: Bar(4),
    table: 0x1000,
    pending: 0x1800,
};
const CONTROL: u16 = 0x42;

fn config() -> ConfigSpace {
    ConfigSpace::new(&Identity {
        vendor: 1,
        device: 2,
        revision: 0,
        class: [0xff, 0, 0],
        subsystem_vendor: 0,
        subsystem: 0,
    })
}

fn control(msix: &mut Msix, config: &mut ConfigSpace, value: u16) {
    config.write(CONTROL, &value.to_le_bytes());
    msix.config_written(config).unwrap();
}

fn pending(msix: &Msix) -> u64 {
    let mut bits = [0; 8];
    msix.pending_read(0, &mut bits);
    u64::from_le_bytes(bits)
}

fn program(msix: &mut Msix, index: u64, masked: u32) {
    let entry = index * 16;
    msix.table_write(entry, &0xfee0_1000_u64.to_le_bytes())
        .unwrap();
    msix.table_write(entry + 8, &0x31_u32.to_le_bytes())
        .unwrap();
    msix.table_write(entry + 12, &masked.to_le_bytes()).unwrap();
}

#[test]
fn capability_says_size_and_places() {
    let Some((vm, _ram)) = vm_or_skip("capability_says_size_and_places") else {
        return;
    };
    let mut config = config();
    Msix::new(&Interrupts::new(&vm), 3, &mut config, PLACE).unwrap();
    let mut capability = [0; 12];
    config.read(0x40, &mut capability);
    assert_eq!(
        capability,
        [0x11, 0, 2, 0, 0x04, 0x10, 0, 0, 0x04, 0x18, 0, 0]
    );
    for vectors in [0, 2049] {
        let error = Msix::new(&Interrupts::new(&vm), vectors, &mut config, PLACE).unwrap_err();
        assert!(matches!(error, MsixError::Count { .. }), "{error}");
    }
}

#[test]
fn vectors_masked_in_any_way_are_pending_until_unmasked() {
    let Some((vm, _ram)) = vm_or_skip("vectors_masked_in_any_way_are_pending_until_unmasked")
    else {
        return;
    };
    let mut config = config();
    let mut msix = Msix::new(&Interrupts::new(&vm), 3, &mut config, PLACE).unwrap();
    let trigger = |msix: &Msix| (0..3).for_each(|index| msix.vector(index).unwrap().trigger());
    assert!(msix.vector(3).is_none());

    trigger(&msix);
    assert_eq!(pending(&msix), 0, "off");
    control(&mut msix, &mut config, 0xc000);
    program(&mut msix, 0, 0);
    program(&mut msix, 1, 1);
    trigger(&msix);
    assert_eq!(pending(&msix), 0b111, "all masked");
    control(&mut msix, &mut config, 0x8000);
    assert_eq!(pending(&msix), 0b110, "the first is not");
    program(&mut msix, 2, 0);
    assert_eq!(pending(&msix), 0b010);
    control(&mut msix, &mut config, 0);
    assert_eq!(pending(&msix), 0, "off again");
}

#[test]
fn table_access_of_odd_size_or_place_is_ignored() {
    let Some((vm, _ram)) = vm_or_skip("table_access_of_odd_size_or_place_is_ignored") else {
        return;
    };
    let mut msix = Msix::new(&Interrupts::new(&vm), 1, &mut config(), PLACE).unwrap();
    program(&mut msix, 0, 0xffff_ffff);
    for (offset, length) in [(0, 1), (0, 2), (2, 4), (4, 8), (16, 4), (u64::MAX - 3, 4)] {
        msix.table_write(offset, &vec![0x55; length]).unwrap();
        let mut data = vec![0; length];
        msix.table_read(offset, &mut data);
        assert_eq!(data, vec![0xff; length], "{offset:#x} {length}");
    }
    let mut entry = [0; 8];
    msix.table_read(0, &mut entry);
    assert_eq!(u64::from_le_bytes(entry), 0xfee0_1000);
    msix.table_read(8, &mut entry);
    assert_eq!(
        u64::from_le_bytes(entry),
        0x1_0000_0031,
        "reserved bits stay"
    );
    msix.pending_read(u64::MAX, &mut entry);
}

#[test]
fn vectors_unmasked_while_all_are_masked_cost_one_table() {
    let Some((vm, _ram)) = vm_or_skip("vectors_unmasked_while_all_are_masked_cost_one_table")
    else {
        return;
    };
    let interrupts = Interrupts::new(&vm);
    let mut config = config();
    let mut msix = Msix::new(&interrupts, 16, &mut config, PLACE).unwrap();
    control(&mut msix, &mut config, 0xc000);
    (0..16).for_each(|index| program(&mut msix, index, 0));
    assert_eq!(interrupts.commits(), 0);
    control(&mut msix, &mut config, 0x8000);
    assert_eq!(interrupts.commits(), 1);
    // Moving one to another processor and back is a table each; masking is none.
    program(&mut msix, 3, 1);
    program(&mut msix, 3, 0);
    assert_eq!(interrupts.commits(), 1);
}
