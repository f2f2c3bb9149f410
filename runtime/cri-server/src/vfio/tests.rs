//! What may be asked for, with values; how names become functions is tested in `devices`.

use super::*;

pub(crate) fn settings(annotation: bool) -> VfioSettings {
    VfioSettings {
        devices: VfioDevices::Listed(vec!["0000:41:00.0".parse().unwrap()]),
        resources: Vec::new(),
        annotation,
        kubelet_socket: PathBuf::from("/nowhere"),
        hot_plug: 0,
    }
}

fn asking(names: &str) -> PodSandboxConfig {
    PodSandboxConfig {
        annotations: [(ANNOTATION.to_owned(), names.to_owned())].into(),
        ..PodSandboxConfig::default()
    }
}

fn function(address: &str) -> Function {
    Function {
        address: address.parse().unwrap(),
        vendor: 0x8086,
        device: 0x0953,
        class: 0x01_0802,
        driver: Some("vfio-pci".to_owned()),
        numa_node: None,
        bars: Vec::new(),
        group: Some(devices::Group {
            number: 9,
            members: Vec::new(),
        }),
        cdev: None,
        cdev_node: false,
        group_node: true,
        answers: true,
    }
}

fn space() -> Space {
    Space::of_vm(0, 39)
}

#[test]
fn annotation_names_several_devices_where_it_is_allowed() {
    let wanted = annotated(&asking("0000:41:00.0, vfio3,"), &settings(true)).unwrap();
    let names: Vec<_> = wanted.into_iter().map(|wanted| wanted.name).collect();
    let name = |text: &str| Name::Annotation(text.to_owned());
    assert_eq!(names, [name("0000:41:00.0"), name("vfio3")]);
    let none = annotated(&PodSandboxConfig::default(), &settings(false)).unwrap();
    assert_eq!(none, []);
}

#[test]
fn annotation_that_is_not_allowed_is_refused_with_the_key() {
    let status = annotated(&asking("0000:41:00.0"), &settings(false)).unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    for part in ["0000:41:00.0", "vfio.annotation"] {
        assert!(status.message().contains(part), "{status}");
    }
}

#[test]
fn function_that_the_configuration_does_not_name_is_refused() {
    let listed = settings(true);
    check(&function("0000:41:00.0"), &listed, &space()).unwrap();
    let status = check(&function("0000:42:00.0"), &listed, &space()).unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    for part in ["0000:42:00.0", "vfio.devices"] {
        assert!(status.message().contains(part), "{status}");
    }
    let all = VfioSettings {
        devices: VfioDevices::All,
        ..listed
    };
    check(&function("0000:42:00.0"), &all, &space()).unwrap();
}

#[test]
fn function_that_is_not_fit_is_refused_with_what_to_do() {
    let function = Function {
        driver: Some("nvme".to_owned()),
        ..function("0000:41:00.0")
    };
    let status = check(&function, &settings(true), &space()).unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    for part in ["0000:41:00.0", "nvme", "driverctl"] {
        assert!(status.message().contains(part), "{status}");
    }
}

#[test]
fn function_is_given_with_the_nodes_that_it_has() {
    let with = |group, cdev: Option<&str>| HostFunction {
        address: "0000:41:00.0".to_owned(),
        group,
        cdev: cdev.map(str::to_owned),
    };
    let only_group = function("0000:41:00.0");
    assert_eq!(given(&only_group), with(Some(9), None));
    let both = Function {
        cdev: Some("vfio3".to_owned()),
        cdev_node: true,
        ..only_group
    };
    assert_eq!(given(&both), with(Some(9), Some("vfio3")));
    let only_cdev = Function {
        group_node: false,
        ..both
    };
    assert_eq!(given(&only_cdev), with(None, Some("vfio3")));
    let cdev_without_node = Function {
        group_node: true,
        cdev_node: false,
        ..only_cdev
    };
    assert_eq!(given(&cdev_without_node), with(Some(9), None));
}

#[test]
fn running_vm_is_given_what_the_configuration_allows() {
    let check = |most: u8, expect: &str| {
        let settings = VfioSettings {
            hot_plug: most,
            ..settings(false)
        };
        let nowhere = "ffff:ff:1f.7".parse().unwrap();
        let why = hot_plug(&Host::new("/"), nowhere, &settings).unwrap_err();
        assert!(why.contains(expect), "{why}");
    };
    check(0, "vfio.hot_plug");
    check(1, "ffff:ff:1f.7");
}

#[test]
fn vm_is_ready_for_more_only_where_there_are_functions_for_pods() {
    let check = |devices: VfioDevices, expect: u8| {
        let settings = VfioSettings {
            devices,
            hot_plug: 2,
            ..settings(false)
        };
        assert_eq!(settings.later(), expect);
    };
    check(VfioDevices::Listed(Vec::new()), 0);
    check(VfioDevices::All, 2);
}
