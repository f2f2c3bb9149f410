//! The mounts of a specification after the volumes have been added.

use serde_json::json;

use super::*;

fn check(destinations: &[&str], volume: &str, expect: &[&str]) {
    let mounts: Vec<_> = destinations
        .iter()
        .map(|destination| json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"}))
        .collect();
    let spec = json!({"ociVersion": "1.2.0", "mounts": mounts});
    let mut spec: Spec = serde_json::from_value(spec).unwrap();
    let root = tempfile::tempdir().unwrap();
    let volumes = [VolumeSource {
        source: "/state/v".into(),
        destination: volume.into(),
        options: vec!["rbind", "ro"],
    }];
    mount_volumes(&mut spec, &volumes, root.path()).unwrap();
    let mounts = spec.mounts().as_ref().unwrap();
    let found: Vec<_> = mounts
        .iter()
        .map(|mount| mount.destination().to_str().unwrap())
        .collect();
    assert_eq!(found, expect);
    let last = mounts.last().unwrap();
    assert_eq!(last.source().as_deref(), Some(Path::new("/state/v")));
    assert_eq!(last.options().as_ref().unwrap(), &["rbind", "ro"]);
}

#[test]
fn volume_comes_last_and_replaces_what_is_at_its_place() {
    check(&["/proc", "/dev"], "/data", &["/proc", "/dev", "/data"]);
    check(&["/proc", "/dev/shm"], "/dev/shm", &["/proc", "/dev/shm"]);
    check(
        &["/dev", "/dev/pts", "/devices"],
        "/dev",
        &["/devices", "/dev"],
    );
}

#[test]
fn link_to_nowhere_makes_room() {
    let root = tempfile::tempdir().unwrap();
    let link = root.path().join("token");
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    let mut spec: Spec = serde_json::from_value(json!({"ociVersion": "1.2.0"})).unwrap();
    let volumes = [VolumeSource {
        source: "/state/v".into(),
        destination: "/token".into(),
        options: Vec::new(),
    }];
    mount_volumes(&mut spec, &volumes, root.path()).unwrap();
    assert!(std::fs::symlink_metadata(link).is_err());
}
