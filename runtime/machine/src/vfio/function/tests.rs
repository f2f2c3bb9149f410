//! A function on a bus, as its driver meets it.

use std::{
    os::unix::fs::FileExt,
    sync::{Arc, Mutex},
};

use super::VfioFunction;
use crate::{
    interrupt::Interrupts,
    kvm::{Vm, tests::vm_or_skip},
    memory::Layout,
    pci::{Bar, PciFunction, PciRoot, PciWindows},
    vfio::{
        Signal, VfioError,
        fake::{Deed, Fake, Record, Space},
        hardware::CONFIG,
    },
};

type Faults = Arc<Mutex<Vec<String>>>;

/// An NVMe's: BAR 0 of 16 KiB and 64 bits, MSI-X with 3 vectors behind its second page.
fn nvme() -> Space {
    Space::new().put(0x10, &[0x04]).capabilities(&[
        (0x40, 0x11, &[2, 0, 0, 0x20, 0, 0, 0, 0x30, 0, 0]),
        (0x50, 0x05, &[0x80, 0]),
    ])
}

const BARS: [u64; 6] = [16 << 10, 0, 0, 0, 0, 0];

fn function(vm: &Vm, fake: Fake) -> (VfioFunction, Faults) {
    let faults = Faults::default();
    let told = Arc::clone(&faults);
    let on_fault = move |error: &VfioError| told.lock().unwrap().push(error.to_string());
    let interrupts = Interrupts::new(vm);
    let hardware = Box::new(fake);
    let made = VfioFunction::new((vm, &interrupts), hardware, Box::new(on_fault));
    (made.unwrap(), faults)
}

fn made(test: &str) -> Option<(VfioFunction, Faults, Record)> {
    let (vm, _ram) = vm_or_skip(test)?;
    let fake = Fake::new(&nvme().0, BARS);
    let record = fake.record.clone();
    let (function, faults) = function(&vm, fake);
    Some((function, faults, record))
}

fn refused(test: &str, space: &Space) -> Option<VfioError> {
    let (vm, _ram) = vm_or_skip(test)?;
    let interrupts = Interrupts::new(&vm);
    let hardware = Box::new(Fake::new(&space.0, BARS));
    let made = VfioFunction::new((&vm, &interrupts), hardware, Box::new(|_| {}));
    Some(made.unwrap_err())
}

/// Routes a vector of the table and unmasks it.
fn unmask(function: &mut VfioFunction, vector: u64) {
    let entry = 0x2000 + vector * 16;
    function.bar_write(Bar(0), entry, &0xfee0_0000_u64.to_le_bytes());
    function.bar_write(Bar(0), entry + 8, &[0x41, 0, 0, 0]);
    function.bar_write(Bar(0), entry + 12, &[0; 4]);
}

#[test]
fn vectors_that_the_driver_unmasks_are_signalled_by_the_device() {
    let Some((mut function, faults, record)) = made("vectors_that_the_driver_unmasks") else {
        return;
    };
    unmask(&mut function, 0);
    assert_eq!(record.take(), [], "MSI-X is off");
    function.config_write(0x42, &0x8000_u16.to_le_bytes());
    unmask(&mut function, 2);
    function.config_write(0x42, &0_u16.to_le_bytes());
    let switched = |count| Deed::Signal(Signal::MsiX, count);
    let expected = [switched(1), switched(0), switched(3), switched(0)];
    assert_eq!(record.take(), expected);
    assert!(faults.lock().unwrap().is_empty());
}

#[test]
fn msi_is_signalled_unless_msix_is_on() {
    let Some((mut function, _faults, record)) = made("msi_is_signalled_unless_msix_is_on") else {
        return;
    };
    function.config_write(0x54, &0xfee0_0000_u32.to_le_bytes());
    function.config_write(0x52, &1_u16.to_le_bytes());
    assert_eq!(record.take(), [Deed::Signal(Signal::Msi, 1)]);
    function.config_write(0x42, &0x8000_u16.to_le_bytes());
    let expected = [Deed::Signal(Signal::Msi, 0), Deed::Signal(Signal::MsiX, 1)];
    assert_eq!(record.take(), expected);
}

#[test]
fn interrupts_that_the_host_has_not_are_told() {
    let Some((vm, _ram)) = vm_or_skip("interrupts_that_the_host_has_not_are_told") else {
        return;
    };
    let mut fake = Fake::new(&nvme().0, BARS);
    fake.most = 0;
    let (mut function, faults) = function(&vm, fake);
    function.config_write(0x42, &0x8000_u16.to_le_bytes());
    let faults = faults.lock().unwrap();
    assert_eq!(*faults, ["switch the MSI-X of function 0000:41:00.0"]);
}

#[test]
fn registers_that_are_not_mapped_are_the_devices_and_the_table_is_ours() {
    let Some((vm, _ram)) = vm_or_skip("registers_that_are_not_mapped") else {
        return;
    };
    let fake = Fake::new(&nvme().0, BARS);
    let file = fake.file(0).try_clone().unwrap();
    file.write_all_at(&[1, 2, 3, 4], 0x100).unwrap();
    let (mut function, _faults) = function(&vm, fake);
    let mut data = [0; 4];
    function.bar_read(Bar(0), 0x100, &mut data);
    assert_eq!(data, [1, 2, 3, 4]);
    function.bar_write(Bar(0), 0x104, &[9; 4]);
    function.bar_write(Bar(0), 0x2000, &[9; 4]);
    let mut device = [0; 4];
    file.read_exact_at(&mut device, 0x104).unwrap();
    assert_eq!(device, [9; 4]);
    file.read_exact_at(&mut device, 0x2000).unwrap();
    assert_eq!(device, [0; 4], "the device's table stays the host's");
    function.bar_read(Bar(0), 16 << 10, &mut data);
    assert_eq!(data, [0xff; 4], "behind the BAR is nothing");
}

#[test]
fn device_answers_to_memory_and_has_no_pin_whatever_the_guest_says() {
    let Some((vm, _ram)) = vm_or_skip("device_answers_to_memory") else {
        return;
    };
    let fake = Fake::new(&nvme().0, BARS);
    let file = fake.file(CONFIG).try_clone().unwrap();
    let command = || {
        let mut bytes = [0; 2];
        file.read_exact_at(&mut bytes, 4).unwrap();
        u16::from_le_bytes(bytes)
    };
    let (mut function, _faults) = function(&vm, fake);
    assert_eq!(command(), 0x402);
    function.config_write(4, &0x0007_u16.to_le_bytes());
    assert_eq!(command(), 0x406, "no I/O ports");
    function.config_write(4, &[0, 0]);
    assert_eq!(command(), 0x402);
    function.unplug();
    assert_eq!(command(), 0x400);
}

#[test]
fn bar_on_the_bus_is_a_slot_of_kvm_and_goes_with_the_function() {
    let Some((mut function, faults, record)) = made("bar_on_the_bus_is_a_slot_of_kvm") else {
        return;
    };
    let mut all_ones = [0; 4];
    function.config_write(0x10, &[0xff; 4]);
    function.config_read(0x10, &mut all_ones);
    assert_eq!(u32::from_le_bytes(all_ones), 0xffff_c004);
    assert_eq!(function.wide_bytes(), 16 << 10);

    let layout = Layout::new(32 << 20).unwrap();
    let mut bus = PciRoot::new(PciWindows::from(&layout));
    let address = bus.add(Box::new(function)).unwrap();
    let at = u64::from(address.device) << 15;
    bus.config_write(at + 4, &[6, 0]);
    let start = layout.pci_window_64().start;
    let mut data = [0; 4];
    assert!(bus.bar_read(start + 0x2000, &mut data), "the table decodes");
    drop(bus.remove(address).unwrap());
    assert_eq!(record.take(), [Deed::Reset]);
    assert!(faults.lock().unwrap().is_empty());
}

#[test]
fn function_that_no_guest_can_have_is_refused_by_its_address() {
    let name = "function_that_no_guest_can_have";
    let silent = Space(vec![0xff; 4096]);
    let lines_only = Space::new();
    let bridge = nvme().put(0x0e, &[1]);
    for (space, expected) in [
        (silent, "all ones"),
        (lines_only, "neither MSI nor MSI-X"),
        (bridge, "bridge"),
    ] {
        let Some(error) = refused(name, &space) else {
            return;
        };
        let text = error.to_string();
        assert!(
            text.contains(expected) && text.contains("0000:41:00.0"),
            "{text}"
        );
    }
}
