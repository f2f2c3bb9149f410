//! What a specification says of a container's disks. Mounted ones are in the test host.

use serde_json::{Value, json};

use super::*;

fn spec(rules: &Value) -> Spec {
    let spec = json!({"ociVersion": "1.2.0", "linux": {"resources": {"devices": rules}}});
    serde_json::from_value(spec).unwrap()
}

fn rules(spec: &Spec) -> Value {
    let linux = serde_json::to_value(spec.linux()).unwrap();
    linux["resources"]["devices"].clone()
}

#[test]
fn rule_comes_last_where_there_are_rules() {
    let deny = json!([{"allow": false, "access": "rwm"}]);
    let mut with = spec(&deny);
    let device = rustix::fs::makedev(254, 16);
    allow(&mut with, vec![rule(device, "r").unwrap()]);
    let expect = json!({"allow": true, "type": "b", "major": 254, "minor": 16, "access": "r"});
    assert_eq!(rules(&with)[0], deny[0]);
    assert_eq!(rules(&with)[1], expect);
    let mut without = spec(&json!([]));
    allow(&mut without, vec![rule(device, "rwm").unwrap()]);
    assert_eq!(rules(&without), json!([]));
}

#[test]
fn node_that_is_no_block_device_is_named() {
    let root = tempfile::tempdir().unwrap();
    let disk = |node: PathBuf| DiskNode {
        node,
        path: "/dev/xvda".into(),
        access: "rwm".to_owned(),
        mode: 0o660,
        owner: (0, 6),
    };
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for node in [file, root.path().join("missing")] {
        let mut spec = spec(&json!([]));
        let failure = mount_disks(&mut spec, &[disk(node.clone())], root.path()).unwrap_err();
        let name = node.display().to_string();
        assert!(failure.message.contains(&name), "{}", failure.message);
        assert!(spec.mounts().is_none());
    }
}
