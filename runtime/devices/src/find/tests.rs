//! Names of all kinds on recorded hosts: what is found, what is left alone, and what is said where VFIO's device is not there.

mod numbers;

use std::fs;

use super::*;
use crate::recorded::{Recorded, Slot, gpu};

const NVSWITCH: u32 = 0x068000;
const AUDIO: u32 = 0x040300;
const BRIDGE: u32 = 0x060400;

/// Two GPUs, the second with an audio function and a port in its group; a NIC of the host's.
fn host() -> Recorded {
    Recorded::with(&[
        gpu("0000:41:00.0", 8, "vfio3"),
        gpu("0000:c1:00.0", 12, "vfio5"),
        Slot {
            class: AUDIO,
            ..gpu("0000:c1:00.1", 12, "vfio6")
        },
        Slot {
            class: BRIDGE,
            driver: "pcieport",
            cdev: None,
            ..gpu("0000:c0:00.0", 12, "")
        },
        Slot {
            class: 0x020000,
            driver: "mlx5_core",
            cdev: None,
            ..gpu("0000:21:00.0", 2, "")
        },
    ])
}

fn spec(kind: &str, devices: &[(&str, &[&str])]) -> String {
    let devices: Vec<_> = devices
        .iter()
        .map(|(name, nodes)| {
            let nodes: Vec<_> = nodes
                .iter()
                .map(|path| format!("{{\"path\": \"{path}\"}}"))
                .collect();
            let nodes = nodes.join(", ");
            format!("{{\"name\": \"{name}\", \"containerEdits\": {{\"deviceNodes\": [{nodes}]}}}}")
        })
        .collect();
    let devices = devices.join(", ");
    format!("{{\"cdiVersion\": \"0.5.0\", \"kind\": \"{kind}\", \"devices\": [{devices}]}}")
}

fn plugin(resource: &str, id: &str) -> Name {
    let (resource, id) = (resource.to_owned(), id.to_owned());
    Name::Plugin { resource, id }
}

fn find_all(tree: &Recorded, resources: &[&str], wanted: &[Wanted]) -> Result<Findings, FindError> {
    let cdi = Cdi::load(&[tree.path("etc/cdi"), tree.path("run/cdi")]);
    let resources: Vec<_> = resources.iter().map(|&name| name.to_owned()).collect();
    let finder = Finder {
        host: &tree.host(),
        cdi: &cdi,
        resources: &resources,
    };
    finder.find(wanted)
}

fn find(tree: &Recorded, resources: &[&str], name: Name) -> Result<Findings, FindError> {
    let container = "c".to_owned();
    find_all(tree, resources, &[Wanted { container, name }])
}

fn check_found(tree: &Recorded, resources: &[&str], name: Name, expect: &[&str]) {
    let findings = find(tree, resources, name).unwrap();
    let found: Vec<_> = findings
        .functions
        .iter()
        .map(|found| found.address.to_string())
        .collect();
    assert_eq!(found, expect, "{:?}", findings.ignored);
}

fn check_ignored(tree: &Recorded, name: Name, reason: &str) {
    let findings = find(tree, &[], name).unwrap();
    assert!(findings.functions.is_empty());
    let ignored = findings.ignored.first().unwrap();
    assert!(ignored.reason.contains(reason), "{}", ignored.reason);
}

fn check_error(tree: &Recorded, resources: &[&str], name: Name, expect: &str) {
    let error = find(tree, resources, name).unwrap_err();
    let error = model::chain(&error);
    assert!(error.contains(expect), "{error}");
}

#[test]
fn sandbox_plugin_by_group_is_found_by_its_cdi_file() {
    let tree = host();
    let nodes = ["/dev/vfio/vfio", "/dev/vfio/8"];
    tree.write(
        "run/cdi/nvidia.json",
        spec("nvidia.com/pgpu", &[("8", &nodes)]),
    );
    check_found(
        &tree,
        &[],
        plugin("nvidia.com/pgpu", "8"),
        &["0000:41:00.0"],
    );
}

#[test]
fn sandbox_plugin_by_cdev_is_found_whichever_way_its_id_is_written() {
    let tree = host();
    let nodes = ["/dev/vfio/devices/vfio3"];
    for key in ["3", "vfio3"] {
        tree.write(
            "run/cdi/nvidia.json",
            spec("nvidia.com/pgpu", &[(key, &nodes)]),
        );
        for id in ["3", "vfio3", &format!("nvidia.com/pgpu={key}")] {
            check_found(&tree, &[], plugin("nvidia.com/pgpu", id), &["0000:41:00.0"]);
        }
    }
}

#[test]
fn kubevirt_plugin_by_address_is_found_without_cdi() {
    let name = plugin("nvidia.com/GB202_GEFORCE", "0000:41:00.0");
    check_found(&host(), &[], name, &["0000:41:00.0"]);
}

#[test]
fn claim_of_a_dra_driver_is_found() {
    let tree = host();
    tree.write(
        "run/cdi/k8s.yaml",
        "cdiVersion: 0.8.0\nkind: k8s.gpu.nvidia.com/claim\ndevices:\n- name: 1f-gpu0\n  \
        containerEdits:\n    deviceNodes:\n    - path: /dev/vfio/devices/vfio5\n",
    );
    let name = Name::Claim("k8s.gpu.nvidia.com/claim=1f-gpu0".to_owned());
    check_found(&tree, &[], name, &["0000:c1:00.0"]);
}

#[test]
fn group_stands_for_all_but_its_bridges() {
    let name = Name::Node("/dev/vfio/12".to_owned());
    check_found(&host(), &[], name, &["0000:c1:00.0", "0000:c1:00.1"]);
}

#[test]
fn nvswitch_of_a_group_and_by_cdev_is_found() {
    let tree = Recorded::with(&[Slot {
        class: NVSWITCH,
        ..gpu("0000:05:00.0", 4, "vfio0")
    }]);
    check_found(
        &tree,
        &[],
        Name::Node("/dev/vfio/4".to_owned()),
        &["0000:05:00.0"],
    );
    let cdev = Name::Node("/dev/vfio/devices/vfio0".to_owned());
    check_found(&tree, &[], cdev, &["0000:05:00.0"]);
}

#[test]
fn annotation_takes_all_forms() {
    let tree = host();
    tree.write(
        "etc/cdi/n.json",
        spec("nvidia.com/pgpu", &[("8", &["/dev/vfio/8"])]),
    );
    for text in [
        "nvidia.com/pgpu=8",
        "0000:41:00.0",
        "41:00.0",
        "8",
        "vfio3",
        "/dev/vfio/8",
        "/dev/vfio/devices/vfio3",
    ] {
        check_found(
            &tree,
            &[],
            Name::Annotation(text.to_owned()),
            &["0000:41:00.0"],
        );
    }
}

#[test]
fn function_wanted_by_several_names_is_found_once_for_all_who_want_it() {
    let tree = host();
    tree.write(
        "run/cdi/n.json",
        spec("nvidia.com/pgpu", &[("8", &["/dev/vfio/8"])]),
    );
    let wanted = |container: &str, name| Wanted {
        container: container.to_owned(),
        name,
    };
    let findings = find_all(
        &tree,
        &[],
        &[
            wanted("b", plugin("nvidia.com/pgpu", "8")),
            wanted("a", Name::Claim("nvidia.com/pgpu=8".to_owned())),
            wanted("a", Name::Node("/dev/vfio/devices/vfio5".to_owned())),
            wanted("b", Name::Node("/dev/vfio/8".to_owned())),
        ],
    );
    let found: Vec<_> = findings
        .unwrap()
        .functions
        .into_iter()
        .map(|found| {
            (
                found.address.to_string(),
                found.containers.into_iter().collect::<Vec<_>>().join(","),
            )
        })
        .collect();
    let text = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        found,
        [text("0000:41:00.0", "a,b"), text("0000:c1:00.0", "a")]
    );
}

#[test]
fn devices_of_others_are_left_alone_with_a_reason() {
    let tree = host();
    tree.write(
        "etc/cdi/n.json",
        spec("nvidia.com/gpu", &[("0", &["/dev/nvidia0"])]),
    );
    check_ignored(
        &tree,
        plugin("example.com/fuse", "fuse-17"),
        "no CDI file says what example.com/fuse=fuse-17 is",
    );
    check_ignored(
        &tree,
        plugin("nvidia.com/gpu", "0"),
        "names no node below /dev/vfio",
    );
    check_ignored(
        &tree,
        plugin("nvidia.com/gpu", "GPU-d14ab0b4"),
        "no CDI file",
    );
    check_ignored(
        &tree,
        plugin("intel.com/nics", "0000:21:00.0"),
        "bound to mlx5_core, not to vfio-pci",
    );
    check_ignored(
        &tree,
        plugin("intel.com/nics", "0000:22:00.0"),
        "there is no PCI function 0000:22:00.0",
    );
    check_ignored(&tree, plugin("example.com/x", "8"), "no CDI file");
    check_ignored(
        &tree,
        Name::Claim("a.b/c=d".to_owned()),
        "no CDI file says what a.b/c=d is",
    );
    for path in [
        "/dev/fuse",
        "/dev/vfio/vfio",
        "/dev/iommu",
        "/dev/vfio/../mem",
        "/dev/vfio/devices/vfio",
        "/dev/vfio/08",
    ] {
        check_ignored(&tree, Name::Node(path.to_owned()), "no device of VFIO's");
    }
}

#[test]
fn broken_cdi_file_is_told_with_what_it_may_be_missing_from() {
    let tree = host();
    tree.write("run/cdi/broken.json", "{");
    check_ignored(&tree, plugin("example.com/fuse", "1"), "broken.json");
}

#[test]
fn vfio_device_that_is_gone_is_named_with_what_to_do() {
    let tree = host();
    tree.write(
        "etc/cdi/n.json",
        spec(
            "nvidia.com/pgpu",
            &[
                ("40", &["/dev/vfio/40"]),
                ("v", &["/dev/vfio/devices/vfio40"]),
            ],
        ),
    );
    let ours = ["nvidia.com/pgpu"];
    let gpu = |id| plugin("nvidia.com/pgpu", id);
    check_error(
        &tree,
        &[],
        gpu("40"),
        "resolve the VFIO device nvidia.com/pgpu=40: there is no IOMMU group 40",
    );
    check_error(
        &tree,
        &[],
        gpu("v"),
        "resolve the VFIO device nvidia.com/pgpu=v: there is no VFIO device vfio40",
    );
    check_error(
        &tree,
        &ours,
        gpu("41"),
        "neither a VFIO device vfio41 nor an IOMMU group 41 that VFIO has on this host: bind the device",
    );
    check_error(
        &tree,
        &ours,
        gpu("GPU-1"),
        "no CDI file says what nvidia.com/pgpu=GPU-1 is, and it is neither a PCI address",
    );
    check_error(
        &tree,
        &ours,
        gpu("0000:42:00.0"),
        "there is no PCI function 0000:42:00.0 on this host",
    );
    check_error(
        &tree,
        &ours,
        gpu("0000:21:00.0"),
        "bound to mlx5_core, not to vfio-pci: bind it, as with `driverctl",
    );
    let node = |path: &str| Name::Node(path.to_owned());
    check_error(
        &tree,
        &[],
        node("/dev/vfio/40"),
        "there is no IOMMU group 40 on this host",
    );
}

#[test]
fn vfio_resource_whose_cdi_device_is_none_of_vfios_is_an_error() {
    let tree = host();
    tree.write(
        "etc/cdi/n.json",
        spec("nvidia.com/pgpu", &[("0", &["/dev/nvidia0"])]),
    );
    check_error(
        &tree,
        &["nvidia.com/pgpu"],
        plugin("nvidia.com/pgpu", "0"),
        "leads to no VFIO device: its CDI file",
    );
}

#[test]
fn group_of_bridges_alone_is_an_error() {
    let tree = Recorded::with(&[Slot {
        class: BRIDGE,
        driver: "pcieport",
        cdev: None,
        ..gpu("0000:c0:00.0", 7, "")
    }]);
    check_error(
        &tree,
        &[],
        Name::Node("/dev/vfio/7".to_owned()),
        "only bridges in IOMMU group 7",
    );
}

#[test]
fn cdi_name_that_conflicts_is_an_error_whoever_asks() {
    let tree = host();
    for file in ["a", "b"] {
        tree.write(
            &format!("run/cdi/{file}.json"),
            spec("nvidia.com/pgpu", &[("8", &["/dev/vfio/8"])]),
        );
    }
    check_error(
        &tree,
        &[],
        plugin("nvidia.com/pgpu", "8"),
        "remove the one that is out of date",
    );
}

#[test]
fn cdi_file_with_numbers_of_another_boot_is_out_of_date() {
    let tree = host();
    let of = |minor: u32| {
        spec("n.com/g", &[("3", &["/dev/vfio/devices/vfio3"])]).replace(
            "vfio3\"",
            &format!("vfio3\", \"major\": 511, \"minor\": {minor}"),
        )
    };
    tree.write("run/cdi/n.json", of(0));
    check_found(&tree, &[], plugin("n.com/g", "3"), &["0000:41:00.0"]);
    tree.write("run/cdi/n.json", of(7));
    check_error(
        &tree,
        &[],
        plugin("n.com/g", "3"),
        "n.json says 511:7 for /dev/vfio/devices/vfio3, but it has 511:0: the file is out of date",
    );
}

#[test]
fn annotation_that_leads_nowhere_is_an_error() {
    let tree = host();
    tree.write(
        "etc/cdi/n.json",
        spec("n.com/gpu", &[("0", &["/dev/nvidia0"])]),
    );
    let check = |text: &str, expect: &str| {
        check_error(&tree, &[], Name::Annotation(text.to_owned()), expect)
    };
    check("n.com/gpu=1", "no CDI file says what n.com/gpu=1 is");
    check("n.com/gpu=0", "leads to no VFIO device");
    check("gpu", "gpu is no name of a device: give a CDI name");
    check("/dev/nvidia0", "is no name of a device");
    check("0000:21:00.0", "bound to mlx5_core");
    check("99", "there is no IOMMU group 99");
    check("vfio99", "there is no VFIO device vfio99");
}

#[test]
fn cdev_without_its_function_is_said() {
    let tree = host();
    let link = tree.path("sys/devices/pci0000:00/0000:41:00.0/vfio-dev/vfio3/device");
    fs::remove_file(link).unwrap();
    check_error(
        &tree,
        &[],
        Name::Node("/dev/vfio/devices/vfio3".to_owned()),
        "there is no VFIO device vfio3",
    );
}
