//! Tests of a container's devices, with values.

use super::*;

fn config(host_path: &str) -> ContainerConfig {
    ContainerConfig {
        devices: vec![CriDevice {
            host_path: host_path.to_owned(),
            container_path: "/dev/xvda".to_owned(),
            permissions: "mrw".to_owned(),
        }],
        ..ContainerConfig::default()
    }
}

fn block() -> HostDevice {
    HostDevice::Block {
        path: "/dev/sdb".into(),
        mode: 0o660,
        uid: 0,
        gid: 6,
    }
}

#[test]
fn block_device_is_given_without_links_and_as_the_host_has_it() {
    let link = "/var/lib/kubelet/pods/u/volumeDevices/kubernetes.io~csi/pv";
    let found = devices(&config(link), vec![block()], PodKind::Vm).unwrap();
    assert_eq!(found.of_guest, []);
    let expect = BlockDevice {
        host_path: "/dev/sdb".into(),
        container_path: "/dev/xvda".into(),
        permissions: "mrw".into(),
        mode: 0o660,
        uid: 0,
        gid: 6,
        function: None,
        hot_plug: None,
    };
    assert!(!expect.read_only());
    assert_eq!(found.block, [expect]);
}

#[test]
fn other_devices_are_the_guests() {
    let check = |path: &str, found: HostDevice, kind: PodKind| {
        let devices = devices(&config(path), vec![found], kind).unwrap();
        assert_eq!(devices.block, []);
        assert_eq!(devices.of_guest.len(), 1);
        assert_eq!(devices.of_guest[0].host_path, path);
    };
    check("/dev/fuse", HostDevice::Other, PodKind::Vm);
    // The guest has it, and the node need not.
    check("/dev/net/tun", HostDevice::Missing, PodKind::Vm);
    check("/dev/sdb", block(), PodKind::Host);
    check("/dev/sdb", HostDevice::Missing, PodKind::Host);
}

#[test]
fn missing_device_is_refused_by_name() {
    let refusal = devices(&config("/dev/sdb"), vec![HostDevice::Missing], PodKind::Vm);
    let expect = "the device \"/dev/sdb\" for \"/dev/xvda\" is missing on the node";
    assert_eq!(refusal.unwrap_err(), Refusal::invalid(expect));
}

#[test]
fn node_of_vfio_is_the_disk_of_its_function_in_a_vm() {
    let vfio = |functions: &[&str]| HostDevice::Vfio {
        functions: functions
            .iter()
            .map(|address| HostFunction {
                address: (*address).to_owned(),
                hot_plug: Ok(9),
            })
            .collect(),
    };
    let check =
        |found: HostDevice, kind: PodKind| devices(&config("/dev/vfio/9"), vec![found], kind);
    let one = check(vfio(&["0000:41:00.0"]), PodKind::Vm).unwrap();
    assert_eq!(one.block[0].function.as_deref(), Some("0000:41:00.0"));
    assert_eq!(one.block[0].hot_plug, Some(Ok(9)));
    assert_eq!(one.block[0].container_path, "/dev/xvda");
    // /dev/vfio/vfio means nothing in a guest; a pod on the node has it as it is.
    assert_eq!(check(vfio(&[]), PodKind::Vm).unwrap(), Devices::default());
    assert_eq!(check(vfio(&[]), PodKind::Host).unwrap().of_guest.len(), 1);
    let two = check(vfio(&["0000:41:00.0", "0000:41:00.1"]), PodKind::Vm).unwrap_err();
    assert!(format!("{two:?}").contains("/dev/vfio/9"), "{two:?}");
}
