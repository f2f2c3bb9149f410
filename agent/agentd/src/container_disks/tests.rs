//! Disks from the wire.

use super::*;
use crate::fault::FaultKind;

fn disk() -> wire::ContainerDisk {
    wire::ContainerDisk {
        pci_address: "0000:00:05.0".to_owned(),
        path: "/dev/xvda".to_owned(),
        access: "rwm".to_owned(),
        mode: 0o660,
        gid: 6,
        ..wire::ContainerDisk::default()
    }
}

fn check(change: impl FnOnce(&mut wire::ContainerDisk), expect: Option<&str>) {
    let mut disk = disk();
    change(&mut disk);
    let found = DiskPlan::parse_all(&[disk]).err();
    match (&found, expect) {
        (None, None) => {}
        (Some(fault), Some(words)) => {
            assert_eq!(fault.kind, FaultKind::InvalidArgument);
            assert!(fault.message.contains(words), "{}", fault.message);
        }
        _ => panic!("{found:?}, not {expect:?}"),
    }
}

#[test]
fn disk_is_taken_as_the_protocol_says() {
    check(|_| {}, None);
    check(|disk| disk.path = "/mnt/volume1".to_owned(), None);
    check(|disk| disk.access = "r".to_owned(), None);
    for path in ["", "dev/xvda", "/", "/dev/../etc"] {
        check(
            move |disk| disk.path = path.to_owned(),
            Some("a disk can't be at"),
        );
    }
    for access in ["", "rx"] {
        check(
            move |disk| disk.access = access.to_owned(),
            Some("r, w, m are known"),
        );
    }
    check(
        |disk| disk.pci_address = "5".to_owned(),
        Some("no PCI address"),
    );
    let many = vec![disk(); MAX_DISKS + 1];
    assert!(DiskPlan::parse_all(&many).is_err());
}
