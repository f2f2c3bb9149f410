//! In a folder that stands for /dev/vfio.

use std::fs;

use super::*;

fn function(address: &str, group: u32) -> HostFunction {
    HostFunction {
        address: address.to_owned(),
        group,
    }
}

fn nodes(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::write(folder.path().join(name), "").unwrap();
    }
    folder
}

#[test]
fn each_group_is_opened_once_and_functions_say_which_is_theirs() {
    let folder = nodes(&["vfio", "9", "31"]);
    let functions = [
        function("0000:81:00.0", 31),
        function("0000:41:00.0", 9),
        function("0000:41:00.1", 9),
    ];
    let plan = open_in(folder.path(), &functions).unwrap().unwrap();
    assert_eq!(plan.groups.len(), 2);
    let places: Vec<_> = plan
        .functions
        .iter()
        .map(|(address, group)| (address.to_string(), *group))
        .collect();
    let expected = [
        ("0000:81:00.0", 1),
        ("0000:41:00.0", 0),
        ("0000:41:00.1", 0),
    ];
    assert_eq!(
        places,
        expected.map(|(address, group)| (address.to_owned(), group))
    );
}

#[test]
fn pod_without_functions_opens_nothing() {
    assert!(open_in(Path::new("/nowhere"), &[]).unwrap().is_none());
}

#[test]
fn node_that_can_not_be_opened_and_name_that_is_none_are_named() {
    let folder = nodes(&["vfio"]);
    for (function, expected) in [
        (function("0000:41:00.0", 9), "/9"),
        (function("gpu", 9), "gpu"),
    ] {
        let error = open_in(folder.path(), &[function]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.fault(), model::Fault::HostUnfit);
    }
}
