//! Facts of recorded hosts, and what is said where a fact is missing or nonsense.

use std::fs;

use super::*;
use crate::{
    bars::Width,
    recorded::{Recorded, Slot, address, gpu},
};

#[test]
fn function_on_vfio_has_all_its_facts() {
    let tree = Recorded::with(&[gpu("0000:41:00.0", 8, "vfio3")]);
    let function = tree.host().function(address("0000:41:00.0")).unwrap();
    assert_eq!((function.vendor, function.device), (0x10de, 0x2901));
    assert_eq!(function.driver.as_deref(), Some("vfio-pci"));
    assert_eq!(function.numa_node, Some(1));
    assert_eq!(function.cdev.as_deref(), Some("vfio3"));
    assert!(function.cdev_node && function.group_node && function.answers);
    assert!(!function.is_bridge());
    assert_eq!(function.group.unwrap().number, 8);
    let second = function.bars.get(1).unwrap();
    assert_eq!((second.index, second.size), (2, 256 << 30));
    assert_eq!(second.width, Width::Bits64);
    assert!(second.prefetchable);
}

#[test]
fn function_without_iommu_driver_and_cdev_says_so() {
    let slot = Slot {
        group: None,
        driver: "",
        cdev: None,
        ..gpu("0000:41:00.0", 0, "")
    };
    let tree = Recorded::with(&[slot]);
    fs::remove_file(tree.path("sys/devices/pci0000:00/0000:41:00.0/numa_node")).unwrap();
    let function = tree.host().function(address("0000:41:00.0")).unwrap();
    assert_eq!(function.group, None);
    assert_eq!((function.driver, function.cdev), (None, None));
    assert_eq!(function.numa_node, None);
    assert!(!function.cdev_node && !function.group_node);
}

#[test]
fn group_has_members_with_their_drivers() {
    let tree = Recorded::with(&[
        gpu("0000:41:00.0", 8, "vfio3"),
        Slot {
            class: 0x040300,
            driver: "snd_hda_intel",
            cdev: None,
            ..gpu("0000:41:00.1", 8, "")
        },
        Slot {
            class: 0x060400,
            driver: "pcieport",
            cdev: None,
            ..gpu("0000:40:00.0", 8, "")
        },
    ]);
    let members = tree.host().group(8).unwrap().members;
    let found: Vec<_> = members
        .iter()
        .map(|member| {
            (
                member.address.to_string(),
                member.driver.as_deref().unwrap(),
                member.is_bridge(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("0000:40:00.0".to_owned(), "pcieport", true),
            ("0000:41:00.0".to_owned(), "vfio-pci", false),
            ("0000:41:00.1".to_owned(), "snd_hda_intel", false),
        ]
    );
}

#[test]
fn nvswitch_is_a_device_though_its_base_class_is_bridge() {
    let of = |class| is_bridge(class);
    assert!(of(0x060400) && of(0x060401) && of(0x060000));
    assert!(!of(0x068000) && !of(0x030200) && !of(0x040300));
}

#[test]
fn cdev_leads_to_its_function_and_numbers() {
    let tree = Recorded::with(&[gpu("0000:41:00.0", 8, "vfio3")]);
    let host = tree.host();
    assert_eq!(host.of_cdev("vfio3").unwrap(), address("0000:41:00.0"));
    assert_eq!(host.cdev_numbers("vfio3").unwrap(), (511, 0));
    assert_eq!(
        host.of_cdev("vfio4").unwrap_err().to_string(),
        "there is no VFIO device vfio4 on this host"
    );
}

#[test]
fn function_that_fell_off_the_bus_does_not_answer() {
    let tree = Recorded::with(&[gpu("0000:41:00.0", 8, "vfio3")]);
    tree.write("sys/devices/pci0000:00/0000:41:00.0/config", [0xff_u8; 64]);
    let function = tree.host().function(address("0000:41:00.0")).unwrap();
    assert!(!function.answers);
    assert_eq!(function.vendor, 0x10de);
}

#[test]
fn functions_are_all_by_address() {
    let tree = Recorded::with(&[
        gpu("0000:c1:00.0", 9, "vfio1"),
        gpu("0000:41:00.0", 8, "vfio0"),
    ]);
    let functions = tree.host().functions().unwrap();
    assert_eq!(
        functions,
        [address("0000:41:00.0"), address("0000:c1:00.0")]
    );
}

#[test]
fn phys_bits_come_from_the_processor() {
    let tree = Recorded::new();
    assert_eq!(tree.host().phys_bits().unwrap(), 46);
    tree.write("proc/cpuinfo", "processor\t: 0\n");
    let error = tree.host().phys_bits().unwrap_err().to_string();
    assert!(error.contains("number of address bits"), "{error}");
}

#[test]
fn facts_missing_or_nonsense_are_named() {
    let check = |file: &str, text: &str, expect: &str| {
        let tree = Recorded::with(&[gpu("0000:41:00.0", 8, "vfio3")]);
        tree.write(&format!("sys/devices/pci0000:00/0000:41:00.0/{file}"), text);
        let error = tree.host().function(address("0000:41:00.0")).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(
        "vendor",
        "10de",
        "vendor says \"10de\", which is no hexadecimal number",
    );
    check("vendor", "0x110de", "which is no 16-bit number");
    check("class", "gpu", "class says \"gpu\"");
    check("numa_node", "many", "which is no NUMA node");
    check("resource", "0x0 0x1", "read the BARs of 0000:41:00.0");
    let host = Recorded::new().host();
    let error = host.function(address("0000:42:00.0")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no PCI function 0000:42:00.0 on this host"
    );
    let error = Recorded::new().host().group(12).unwrap_err();
    assert_eq!(error.to_string(), "there is no IOMMU group 12 on this host");
}
