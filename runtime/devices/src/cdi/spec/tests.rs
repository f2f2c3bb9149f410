//! Files that are in order, and each thing that can be wrong with one.

use serde_json::json;

use super::*;

/// As the sandbox device plugin of NVIDIA writes it for one group.
fn good() -> Value {
    json!({
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/pgpu",
        "devices": [{
            "name": "8",
            "containerEdits": {"deviceNodes": [{"path": "/dev/vfio/8", "permissions": "mrw"}]},
        }],
        "containerEdits": {"deviceNodes": [{"path": "/dev/vfio/vfio"}]},
    })
}

fn with(pointer: &str, value: Value) -> String {
    let mut spec = good();
    match spec.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => spec[pointer.trim_start_matches('/')] = value,
    }
    spec.to_string()
}

#[test]
fn spec_in_either_format_is_the_same() {
    let yaml = "cdiVersion: 0.5.0\nkind: nvidia.com/pgpu\ndevices:\n- name: \"8\"\n  containerEdits:\n    deviceNodes:\n    \
                - path: /dev/vfio/8\n      permissions: mrw\ncontainerEdits:\n  deviceNodes:\n  - path: /dev/vfio/vfio\n";
    let json = parse(&good().to_string(), Format::Json).unwrap();
    assert_eq!(parse(yaml, Format::Yaml).unwrap(), json);
    assert_eq!(json.kind, "nvidia.com/pgpu");
}

#[test]
fn spec_edits_are_read_whole() {
    let edits = json!({
        "env": ["A=b"],
        "deviceNodes": [{
            "path": "/dev/x", "hostPath": "/dev/vfio/devices/vfio3", "type": "c", "major": 511, "minor": 3, "fileMode": 432,
        }],
        "mounts": [{"hostPath": "/usr/lib/a", "containerPath": "/lib/a", "options": ["ro"]}],
        "hooks": [{"hookName": "createContainer", "path": "/usr/bin/h", "args": ["h"], "timeout": 3}],
        "netDevices": [{"hostInterfaceName": "e", "name": "f"}],
    });
    let spec = parse(&with("/devices/0/containerEdits", edits), Format::Json).unwrap();
    let edits = &spec.devices.first().unwrap().container_edits;
    let node = edits.device_nodes.first().unwrap();
    assert_eq!(node.on_host(), "/dev/vfio/devices/vfio3");
    assert_eq!(
        (node.kind.as_deref(), node.major, node.minor),
        (Some("c"), Some(511), Some(3))
    );
    assert_eq!(edits.env, ["A=b"]);
    assert_eq!(edits.mounts.first().unwrap().options, ["ro"]);
    assert_eq!(edits.hooks.first().unwrap().path, "/usr/bin/h");
}

#[test]
fn spec_versions_from_0_3_to_1_1_are_read() {
    for version in [
        "0.3.0", "0.5.0", "0.8.0", "1.0.0", "1.1.0", "1.1.1", "v0.6.0",
    ] {
        assert!(
            parse(&with("/cdiVersion", json!(version)), Format::Json).is_ok(),
            "{version}"
        );
    }
    for version in ["0.2.0", "1.2.0", "2.0.0", "1.0", "1.0.0-rc1", ""] {
        let error = parse(&with("/cdiVersion", json!(version)), Format::Json).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cdiVersion {version:?} is not known: this program reads 0.3.0 to 1.1")
        );
    }
}

#[test]
fn spec_wrong_says_what() {
    let check = |pointer: &str, value: Value, expect: &str| {
        let error = parse(&with(pointer, value), Format::Json).unwrap_err();
        let error = model::chain(&error);
        assert!(error.contains(expect), "{error}");
    };
    for kind in [
        "gpu",
        "nvidia.com/",
        "/gpu",
        "nvidia.com/a/b",
        "-x/gpu",
        "nvidia..com/gpu",
    ] {
        check(
            "/kind",
            json!(kind),
            "is not VENDOR/CLASS, such as nvidia.com/gpu",
        );
    }
    check(
        "/kind",
        json!(format!("n/{}", "a".repeat(64))),
        "is not VENDOR/CLASS",
    );
    check("/devices", json!([]), "there are no devices in it");
    check(
        "/devices/0/name",
        json!("a/b"),
        "\"a/b\" is no name of a device",
    );
    check(
        "/devices",
        json!([{"name": "0"}, {"name": "0"}]),
        "device \"0\" stands twice",
    );
    check(
        "/containerEdits",
        json!({"deviceNodes": [{"path": "dev/vfio/8"}]}),
        "device node \"dev/vfio/8\" is no absolute path",
    );
    check(
        "/devices/0/name",
        json!(8),
        "find a CDI spec in it: invalid type",
    );
    check(
        "/containerEdits",
        json!({"deviceNodes": [{}]}),
        "missing field `path`",
    );
    let error = parse("{", Format::Json).unwrap_err();
    assert!(model::chain(&error).starts_with("parse JSON: "), "{error}");
    let error = parse("a: *b", Format::Yaml).unwrap_err();
    assert!(!error.to_string().is_empty());
}
