//! The report on hosts whose sysfs lies in a temporary folder: what is shown, why not, and that nothing is promised.

use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

use super::*;

const GPU_BARS: &str = "0x22c000000000 0x22c003ffffff 0x14220c\n0x0 0x0 0x0\n0x228000000000 0x22bfffffffff 0x14220c\n0x0 0x0 0x0\n\
                        0x22c004000000 0x22c005ffffff 0x14220c\n0x0 0x0 0x0\n";

fn write(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A function in a group of its own, with the group's node.
fn add(root: &Path, address: &str, class: &str, driver: &str, group: u32) {
    let folder = format!("sys/bus/pci/devices/{address}");
    for (file, text) in [
        ("vendor", "0x10de\n"),
        ("device", "0x2901\n"),
        ("class", class),
        ("resource", GPU_BARS),
        ("config", "\u{1}\u{2}"),
        ("numa_node", "-1\n"),
    ] {
        write(root, &format!("{folder}/{file}"), text);
    }
    let iommu = format!("sys/kernel/iommu_groups/{group}");
    write(root, &format!("{iommu}/devices/{address}"), "");
    write(root, &format!("dev/vfio/{group}"), "");
    let link = |name: &str, target: &str| {
        symlink(root.join(target), root.join(&folder).join(name)).unwrap();
    };
    link("iommu_group", &iommu);
    link("driver", &format!("sys/bus/pci/drivers/{driver}"));
}

fn host() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "proc/cpuinfo",
        "address sizes\t: 46 bits physical, 48 bits virtual\n",
    );
    add(root.path(), "0000:41:00.0", "0x030200\n", "vfio-pci", 8);
    add(root.path(), "0000:c1:00.0", "0x030200\n", "nvidia", 9);
    add(root.path(), "0000:05:00.0", "0x068000\n", "vfio-pci", 3);
    add(root.path(), "0000:21:00.0", "0x020000\n", "mlx5_core", 4);
    root
}

fn report(root: &TempDir) -> Report {
    Report::collect(&Host::new(root.path()), &Cdi::default()).unwrap()
}

#[test]
fn report_shows_what_vfio_has_and_what_one_gives_to_pods() {
    let lines = report(&host()).lines();
    let check = |line: usize, expect: &str| {
        let line = lines.get(line).unwrap();
        assert!(line.contains(expect), "{line}");
    };
    check(
        0,
        "usable   0000:05:00.0   10de:2901 class 068000, driver vfio-pci, IOMMU group 3",
    );
    check(1, "usable   0000:41:00.0");
    check(1, "cdev none, NUMA node unknown, BARs 64M 256G 32M");
    check(2, "not yet  0000:c1:00.0");
    check(3, "0000:c1:00.0 (driver nvidia) is not bound to vfio-pci");
    check(4, "→ bind it: modprobe vfio-pci");
    check(5, "vfio.devices");
    assert_eq!(lines.len(), 6, "{lines:#?}");
}

#[test]
fn report_in_json_has_facts_reasons_and_that_pods_can_have_them() {
    let json = serde_json::to_value(report(&host())).unwrap();
    let text = |pointer: &str| json.pointer(pointer).unwrap().to_string();
    assert_eq!(text("/attach"), "true");
    assert_eq!(text("/devices/1/address"), "\"0000:41:00.0\"");
    assert_eq!(text("/devices/1/usable"), "true");
    assert_eq!(text("/devices/1/bars/1/size"), (256_u64 << 30).to_string());
    assert_eq!(text("/devices/1/group/number"), "8");
    assert!(text("/devices/2/problems/0/found").contains("driver nvidia"));
    assert!(text("/devices/2/problems/0/advice").contains("driverctl"));
}

#[test]
fn report_of_a_host_without_devices_says_so() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "proc/cpuinfo",
        "address sizes\t: 39 bits physical\n",
    );
    fs::create_dir_all(root.path().join("sys/bus/pci/devices")).unwrap();
    let lines = report(&root).lines();
    assert!(lines.first().unwrap().contains("no GPU"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn report_names_what_can_not_be_read_and_shows_the_rest() {
    let root = host();
    write(
        root.path(),
        "sys/bus/pci/devices/0000:21:00.0/resource",
        "0x0",
    );
    write(root.path(), "cdi/a.json", "{");
    let cdi = Cdi::load(&[root.path().join("cdi")]);
    let report = Report::collect(&Host::new(root.path()), &cdi).unwrap();
    let lines = report.lines();
    for expect in [
        "a.json: parse JSON",
        "0000:21:00.0: read the BARs of 0000:21:00.0",
    ] {
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("warning") && line.contains(expect)),
            "{lines:?}"
        );
    }
    assert!(lines.first().unwrap().contains("0000:05:00.0"));
}

#[test]
fn sizes_are_short() {
    for (bytes, expect) in [
        (16, "1K"),
        (4096, "4K"),
        (16 << 20, "16M"),
        (256 << 30, "256G"),
    ] {
        assert_eq!(size(bytes), expect);
    }
}
