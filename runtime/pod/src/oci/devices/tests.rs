//! Only what every guest has, and a filter where a container could reach more.

use model::CapabilityChanges;

use super::*;

fn device(host: &str, container: &str, permissions: &str) -> Security {
    Security {
        devices: vec![Device {
            host_path: host.into(),
            container_path: container.into(),
            permissions: permissions.into(),
        }],
        ..Security::default()
    }
}

#[test]
fn device_becomes_a_node_and_a_rule() {
    let security = device("/dev/fuse", "/dev/my/fuse", "rw");
    let nodes = nodes(&security).unwrap();
    let [node] = nodes.as_slice() else {
        panic!("{nodes:?}")
    };
    assert_eq!((node.major(), node.minor()), (10, 229));
    assert_eq!(node.path().to_str(), Some("/dev/my/fuse"));
    let rules = rules(&security, &Capabilities::new()).unwrap();
    let short: Vec<_> = rules
        .iter()
        .map(|rule| (rule.allow(), rule.major(), rule.access().clone().unwrap()))
        .collect();
    assert_eq!(
        short,
        [
            (false, None, "rwm".to_owned()),
            (true, Some(10), "rw".to_owned())
        ]
    );
}

#[test]
fn device_that_cannot_be_had_is_refused_by_name() {
    let check = |host: &str, container: &str, permissions: &str, expect: &str| {
        let security = device(host, container, permissions);
        let error = match nodes(&security) {
            Ok(_) => rules(&security, &Capabilities::new()).unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(
        "/dev/sda",
        "/dev/sda",
        "rwm",
        "\"/dev/sda\" of the host is not in the guest",
    );
    check("/dev/fuse", "/etc/passwd", "rwm", "not below /dev");
    check("/dev/fuse", "/dev/../etc/passwd", "rwm", "not below /dev");
    check("/dev/fuse", "/dev/", "rwm", "not below /dev");
    check(
        "/dev/fuse",
        "/dev/fuse",
        "rx",
        "\"rx\"; r, w and m are known",
    );
    check("/dev/fuse", "/dev/fuse", "", "r, w and m are known");
}

#[test]
fn filter_is_there_where_a_node_could_be_made() {
    let count = |security: &Security| {
        let sets = crate::oci::capabilities::capabilities(security).unwrap();
        let bounding = sets.bounding().clone().unwrap();
        rules(security, &bounding).unwrap().len()
    };
    assert_eq!(count(&Security::default()), 0);
    let adds = |name: &str| Security {
        capabilities: CapabilityChanges {
            add: vec![name.into()],
            ..CapabilityChanges::default()
        },
        ..Security::default()
    };
    assert_eq!(count(&adds("SYS_ADMIN")), 0);
    assert_eq!(count(&adds("MKNOD")), 1);
    assert_eq!(count(&adds("ALL")), 1);
    let privileged = Security {
        privileged: true,
        ..adds("ALL")
    };
    assert_eq!(count(&privileged), 0);
    assert_eq!(annotations(&privileged).count(), 1);
    assert_eq!(annotations(&adds("ALL")).count(), 0);
}

fn block_device(container: &str, permissions: &str) -> BlockDevice {
    BlockDevice {
        function: None,
        host_path: "/dev/sdb".into(),
        container_path: container.into(),
        permissions: permissions.into(),
        mode: 0o660,
        uid: 0,
        gid: 6,
        hot_plug: None,
    }
}

#[test]
fn block_device_has_a_filter_whose_rule_is_the_agents() {
    let security = Security {
        block_devices: vec![block_device("/dev/xvda", "rwm")],
        ..Security::default()
    };
    check_block_devices(&security.block_devices).unwrap();
    assert_eq!(rules(&security, &Capabilities::new()).unwrap().len(), 1);
    assert!(nodes(&security).unwrap().is_empty());
    let said: Vec<_> = annotations(&security).collect();
    let name = "cofferdam.agent.disks".to_owned();
    assert_eq!(said, [(name, "mounted".to_owned())]);
}

#[test]
fn block_device_may_be_at_any_path_from_the_root() {
    let check = |container: &str, permissions: &str, expect: Option<&str>| {
        let checked = check_block_devices(&[block_device(container, permissions)]);
        match (checked.map_err(|error| error.to_string()), expect) {
            (Ok(()), None) => {}
            (Err(text), Some(words)) => {
                assert!(text.contains(words) && text.contains("/dev/sdb"), "{text}");
            }
            (found, expect) => panic!("{found:?}, not {expect:?}"),
        }
    };
    check("/mnt/volume1", "rwm", None);
    check("/dev/block/data", "r", None);
    for path in ["", "/", "dev/xvda", "/dev/../etc/passwd", "/dev//a"] {
        check(path, "rwm", Some("no path from the root"));
    }
    for permissions in ["", "x"] {
        check("/dev/xvda", permissions, Some("r, w and m are known"));
    }
}
