//! Each thing that keeps a function from a VM, with its words; and functions that nothing keeps.

use std::fs;

use model::chain;

use super::*;
use crate::recorded::{Recorded, Slot, address, gpu};

const AUDIO: u32 = 0x040300;
const BRIDGE: u32 = 0x060400;

fn space() -> Space {
    Space {
        low: 0xc000_0000..0xe000_0000,
        ram_end: 0x2_0000_0000,
        phys_bits: 46,
    }
}

fn look(tree: &Recorded, of: &str) -> Preflight {
    Preflight::of(&tree.host().function(address(of)).unwrap(), &space())
}

/// What is said of a first GPU's host, in order.
fn check(slots: &[Slot<'_>], expect: &[(&str, &str)]) {
    let preflight = look(&Recorded::with(slots), "0000:41:00.0");
    let said: Vec<_> = preflight
        .problems
        .iter()
        .map(|problem| (chain(problem), problem.advice()))
        .collect();
    assert_eq!(said.len(), expect.len(), "{said:#?}");
    for ((fact, advice), (expect_fact, expect_advice)) in said.iter().zip(expect) {
        assert!(fact.contains(expect_fact), "{fact}");
        assert!(advice.contains(expect_advice), "{advice}");
    }
    assert_eq!(preflight.is_usable(), expect.is_empty());
}

fn good<'a>() -> Slot<'a> {
    gpu("0000:41:00.0", 8, "vfio3")
}

fn sibling<'a>(class: u32, driver: &'a str) -> Slot<'a> {
    Slot {
        class,
        driver,
        cdev: None,
        ..gpu("0000:41:00.1", 8, "")
    }
}

#[test]
fn gpu_on_vfio_in_a_viable_group_is_usable() {
    check(&[good()], &[]);
    check(&[good(), sibling(AUDIO, "vfio-pci")], &[]);
    check(&[good(), sibling(AUDIO, "")], &[]);
    check(&[good(), sibling(AUDIO, "pci-stub")], &[]);
    check(&[good(), sibling(BRIDGE, "pcieport")], &[]);
    let variant = Slot {
        driver: "nvgrace-gpu-vfio-pci",
        ..good()
    };
    check(&[variant], &[]);
}

#[test]
fn gpu_of_the_hosts_driver_is_named_with_it() {
    let nvidia = Slot {
        driver: "nvidia",
        cdev: None,
        ..good()
    };
    let bind = "driverctl set-override 0000:41:00.0 vfio-pci";
    check(
        &[nvidia],
        &[(
            "0000:41:00.0 (driver nvidia) is not bound to vfio-pci",
            bind,
        )],
    );
    let none = Slot {
        driver: "",
        cdev: None,
        ..good()
    };
    check(
        &[none],
        &[("0000:41:00.0 (no driver) is not bound to vfio-pci", bind)],
    );
}

#[test]
fn sibling_of_the_hosts_is_named_with_its_driver() {
    check(
        &[good(), sibling(AUDIO, "snd_hda_intel")],
        &[(
            "0000:41:00.0 (driver vfio-pci) shares IOMMU group 8 with 0000:41:00.1 (driver snd_hda_intel), which the host uses",
            "driverctl set-override 0000:41:00.1 vfio-pci",
        )],
    );
}

#[test]
fn host_without_iommu_is_told_to_switch_it_on() {
    let slot = Slot {
        group: None,
        driver: "nvidia",
        cdev: None,
        ..good()
    };
    check(
        &[slot],
        &[
            ("not bound to vfio-pci", "driverctl"),
            (
                "0000:41:00.0 (driver nvidia) is in no IOMMU group",
                "intel_iommu=on",
            ),
        ],
    );
}

#[test]
fn function_without_any_node_is_said() {
    let tree = Recorded::with(&[good()]);
    fs::remove_file(tree.path("dev/vfio/devices/vfio3")).unwrap();
    assert!(look(&tree, "0000:41:00.0").is_usable());
    fs::remove_file(tree.path("dev/vfio/8")).unwrap();
    let preflight = look(&tree, "0000:41:00.0");
    let problem = preflight.problems.first().unwrap();
    assert_eq!(
        problem.to_string(),
        "0000:41:00.0 (driver vfio-pci) has no node: neither /dev/vfio/devices/vfioN nor /dev/vfio/8"
    );
    assert!(problem.advice().contains("modprobe vfio-pci"));
    assert_eq!(problem.fault(), Fault::HostUnfit);
}

#[test]
fn function_that_fell_off_the_bus_is_said() {
    let tree = Recorded::with(&[good()]);
    tree.write("sys/devices/pci0000:00/0000:41:00.0/config", [0xff_u8; 64]);
    let preflight = look(&tree, "0000:41:00.0");
    let problem = preflight.problems.first().unwrap();
    assert_eq!(
        problem.to_string(),
        "0000:41:00.0 (driver vfio-pci) reads as all ones: it does not answer"
    );
    assert!(
        problem
            .advice()
            .contains("/sys/bus/pci/devices/0000:41:00.0/remove")
    );
}

#[test]
fn bridge_can_not_be_given() {
    let bridge = Slot {
        class: BRIDGE,
        bars: &[],
        ..good()
    };
    check(
        &[bridge],
        &[(
            "0000:41:00.0 (driver vfio-pci) is a bridge",
            "what is behind it",
        )],
    );
}

#[test]
fn gpu_larger_than_the_address_bits_is_said() {
    let tree = Recorded::with(&[good()]);
    let function = tree.host().function(address("0000:41:00.0")).unwrap();
    let small = Space {
        phys_bits: 38,
        ..space()
    };
    let preflight = Preflight::of(&function, &small);
    let said = chain(preflight.problems.first().unwrap());
    assert!(
        said.starts_with("0000:41:00.0 (driver vfio-pci) has no room in a VM: the BARs of 0000:41:00.0 need 0x4006000000 bytes above RAM"),
        "{said}"
    );
}

#[test]
fn room_of_several_is_asked_for_together() {
    let tree = Recorded::with(&[good(), gpu("0000:c1:00.0", 9, "vfio4")]);
    let of = |text: &str| tree.host().function(address(text)).unwrap();
    let (first, second) = (of("0000:41:00.0"), of("0000:c1:00.0"));
    let narrow = Space {
        phys_bits: 39,
        ..space()
    };
    assert!(room(&[&first], &narrow).is_ok());
    let error = room(&[&first, &second], &narrow).unwrap_err().to_string();
    assert!(error.contains("the BARs of 0000:c1:00.0"), "{error}");
}

#[test]
fn space_of_a_vm_begins_behind_its_memory() {
    let check = |gib: u64, bits, ram_end_gib: u64, phys_bits| {
        let expect = Space {
            low: 0xc000_0000..0xe000_0000,
            ram_end: ram_end_gib << 30,
            phys_bits,
        };
        assert_eq!(Space::of_vm(gib << 30, bits), expect);
    };
    check(1, 39, 4, 39);
    check(3, 46, 4, 46);
    check(7, 52, 8, 48);
}
