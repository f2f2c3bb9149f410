//! Bare numbers: a cdev or a group, by what the host has, and never a guess.

use super::*;

#[test]
fn number_of_a_vfio_resource_is_a_cdev_or_a_group() {
    let tree = host();
    let ours = ["nvidia.com/*"];
    check_found(
        &tree,
        &ours,
        plugin("nvidia.com/pgpu", "8"),
        &["0000:41:00.0"],
    );
    check_found(
        &tree,
        &ours,
        plugin("nvidia.com/pgpu", "5"),
        &["0000:c1:00.0"],
    );
    check_found(
        &tree,
        &ours,
        plugin("nvidia.com/pgpu", "vfio6"),
        &["0000:c1:00.1"],
    );
}

#[test]
fn number_of_a_group_that_vfio_does_not_have_is_no_group() {
    let tree = host();
    let bridge = Slot {
        class: BRIDGE,
        driver: "pcieport",
        cdev: None,
        ..gpu("0000:00:01.0", 3, "")
    };
    let disk = Slot {
        class: 0x010802,
        driver: "nvme",
        cdev: None,
        ..gpu("0000:05:00.0", 5, "")
    };
    tree.add(&bridge);
    tree.add(&disk);
    let ours = ["nvidia.com/pgpu"];
    let gpu = |id| plugin("nvidia.com/pgpu", id);
    check_found(&tree, &ours, gpu("3"), &["0000:41:00.0"]);
    check_found(&tree, &ours, gpu("5"), &["0000:c1:00.0"]);
    check_error(&tree, &ours, gpu("2"), "nor an IOMMU group 2 that VFIO has");
}

#[test]
fn number_that_is_a_cdev_and_another_group_is_never_guessed() {
    let tree = host();
    tree.add(&gpu("0000:61:00.0", 3, "vfio9"));
    check_error(
        &tree,
        &["nvidia.com/pgpu"],
        plugin("nvidia.com/pgpu", "3"),
        "nvidia.com/pgpu=3 may be /dev/vfio/devices/vfio3, which is 0000:41:00.0, or IOMMU group 3, which is 0000:61:00.0: have its",
    );
    tree.add(&gpu("0000:62:00.0", 20, "vfio20"));
    check_found(
        &tree,
        &["nvidia.com/pgpu"],
        plugin("nvidia.com/pgpu", "20"),
        &["0000:62:00.0"],
    );
}

/// What the CDI file of a plugin says where its names are places in a list, and its IDs are groups (NVIDIA's sandbox plugin, before its CDI
/// names were its IDs).
#[test]
fn cdi_file_that_counts_does_not_give_another_device() {
    let tree = Recorded::with(&[
        gpu("0000:41:00.0", 8, "vfio3"),
        gpu("0000:42:00.0", 1, "vfio7"),
        gpu("0000:43:00.0", 0, "vfio8"),
    ]);
    let counted: Vec<(&str, &[&str])> = vec![
        ("0", &["/dev/vfio/vfio", "/dev/vfio/0"]),
        ("1", &["/dev/vfio/vfio", "/dev/vfio/8"]),
        ("2", &["/dev/vfio/vfio", "/dev/vfio/1"]),
    ];
    tree.write("run/cdi/n.json", spec("nvidia.com/pgpu", &counted));
    let gpu = |id| plugin("nvidia.com/pgpu", id);
    check_error(
        &tree,
        &[],
        gpu("1"),
        "nvidia.com/pgpu=1 is 0000:41:00.0 by its CDI file",
    );
    check_error(
        &tree,
        &[],
        gpu("1"),
        "and 1 is also IOMMU group 1 of this host, which is 0000:42:00.0: have its device plugin write",
    );
    // Where both say the same, and where the number is nothing else on this host, there is nothing to guess.
    check_found(&tree, &[], gpu("0"), &["0000:43:00.0"]);
    check_found(&tree, &[], gpu("2"), &["0000:42:00.0"]);
}
