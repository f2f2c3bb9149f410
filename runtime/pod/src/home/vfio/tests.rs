//! In a folder that stands for /dev.

use std::fs;

use super::*;

fn function(address: &str, group: u32) -> HostFunction {
    HostFunction {
        address: address.to_owned(),
        group: Some(group),
        cdev: None,
    }
}

fn with_cdev(address: &str, group: Option<u32>, cdev: &str) -> HostFunction {
    HostFunction {
        address: address.to_owned(),
        group,
        cdev: Some(cdev.to_owned()),
    }
}

fn nodes(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(CDEVS)).unwrap();
    for name in names {
        fs::write(folder.path().join(name), "").unwrap();
    }
    folder
}

fn places(plan: &VfioPlan) -> Vec<(String, u8)> {
    let functions = plan.functions.iter();
    functions
        .map(|(address, place)| (address.to_string(), *place))
        .collect()
}

fn expect<const N: usize>(places: [(&str, u8); N]) -> [(String, u8); N] {
    places.map(|(address, place)| (address.to_owned(), place))
}

#[test]
fn each_group_is_opened_once_and_functions_say_which_is_theirs() {
    let folder = nodes(&["vfio/vfio", "vfio/9", "vfio/31", "iommu"]);
    let functions = [
        function("0000:81:00.0", 31),
        function("0000:41:00.0", 9),
        function("0000:41:00.1", 9),
    ];
    let plan = open_in(folder.path(), &functions).unwrap().unwrap();
    assert_eq!(
        (plan.interface, plan.nodes.len()),
        (VfioInterface::Type1, 2)
    );
    let expected = [
        ("0000:81:00.0", 1),
        ("0000:41:00.0", 0),
        ("0000:41:00.1", 0),
    ];
    assert_eq!(places(&plan), expect(expected));
}

#[test]
fn functions_with_cdevs_go_by_iommufd_and_need_no_group() {
    let folder = nodes(&["iommu", "vfio/devices/vfio3", "vfio/devices/vfio0"]);
    let functions = [
        with_cdev("0000:81:00.0", None, "vfio3"),
        with_cdev("0000:41:00.0", Some(9), "vfio0"),
    ];
    let plan = open_in(folder.path(), &functions).unwrap().unwrap();
    let shape = (plan.interface, plan.nodes.len());
    assert_eq!(shape, (VfioInterface::Iommufd, 2));
    let expected = [("0000:81:00.0", 0), ("0000:41:00.0", 1)];
    assert_eq!(places(&plan), expect(expected));
}

#[test]
fn cdevs_without_iommufd_or_beside_a_function_without_one_go_by_group() {
    let all = ["vfio/vfio", "vfio/9", "vfio/10", "vfio/devices/vfio0"];
    let functions = [with_cdev("0000:41:00.0", Some(9), "vfio0")];
    let plan = open_in(nodes(&all).path(), &functions).unwrap().unwrap();
    assert_eq!(plan.interface, VfioInterface::Type1);
    let [first] = functions;
    let functions = [first, function("0000:42:00.0", 10)];
    let folder = nodes(&[&all[..], &["iommu"]].concat());
    let plan = open_in(folder.path(), &functions).unwrap().unwrap();
    assert_eq!(plan.interface, VfioInterface::Type1);
}

#[test]
fn pod_without_functions_opens_nothing() {
    assert!(open_in(Path::new("/nowhere"), &[]).unwrap().is_none());
}

#[test]
fn node_that_can_not_be_opened_and_name_that_is_none_are_named() {
    let folder = nodes(&["vfio/vfio"]);
    for (function, expected) in [
        (function("0000:41:00.0", 9), "vfio/9"),
        (function("gpu", 9), "gpu"),
        (with_cdev("0000:41:00.0", None, "vfio3"), "/dev/iommu"),
        (with_cdev("0000:41:00.0", None, "vfio3"), "0000:41:00.0"),
    ] {
        let error = open_in(folder.path(), &[function]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.fault(), model::Fault::HostUnfit);
    }
    let folder = nodes(&["iommu"]);
    let function = with_cdev("0000:41:00.0", None, "vfio3");
    let error = open_in(folder.path(), &[function]).unwrap_err().to_string();
    assert!(error.contains("vfio/devices/vfio3"), "{error}");
}
