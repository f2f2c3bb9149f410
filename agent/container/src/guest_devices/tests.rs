//! Nodes of a folder become devices of the specification.

use std::{fs, os::unix::fs::symlink};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::*;

#[test]
fn every_node_is_found_but_the_containers_own() {
    let folder = tempfile::tempdir().unwrap();
    let node = |name: &str, kind: FileType, major: u32, minor: u32| {
        let path = folder.path().join(name);
        mknodat(
            CWD,
            &path,
            kind,
            Mode::from_raw_mode(0o640),
            makedev(major, minor),
        )
    };
    for name in ["net", "pts", "shm"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let character = FileType::CharacterDevice;
    if let Err(error) = node("null", character, 1, 3) {
        println!("SKIPPED: device nodes can't be made here: {error}");
        return;
    }
    node("vda", FileType::BlockDevice, 254, 0).unwrap();
    node("vdb", FileType::BlockDevice, 254, 16).unwrap();
    node("net/tun", character, 10, 200).unwrap();
    for own in ["pts/0", "console", "ptmx"] {
        node(own, character, 5, 1).unwrap();
    }
    fs::write(folder.path().join("file"), "").unwrap();
    symlink("null", folder.path().join("link")).unwrap();
    let json = r#"{"ociVersion":"1.2.0","mounts":[{"destination":"/dev/vdb"}],"linux":{"devices":[{"path":"/dev/null","type":"c","major":1,"minor":3}]}}"#;
    let mut spec: Spec = serde_json::from_str(json).unwrap();
    add(&mut spec, folder.path()).unwrap();
    let mut found: Vec<_> = spec
        .linux()
        .as_ref()
        .unwrap()
        .devices()
        .as_ref()
        .unwrap()
        .iter()
        .map(|device| {
            format!(
                "{} {:?} {}:{}",
                device.path().display(),
                device.typ(),
                device.major(),
                device.minor()
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "/dev/net/tun C 10:200",
            "/dev/null C 1:3",
            "/dev/vda B 254:0"
        ]
    );
}

#[test]
fn listed_device_becomes_a_mount_of_the_guests_node() {
    let folder = tempfile::tempdir().unwrap();
    let fuse = folder.path().join("fuse");
    let mode = Mode::from_raw_mode(0o600);
    let made = mknodat(
        CWD,
        &fuse,
        FileType::CharacterDevice,
        mode,
        makedev(10, 229),
    );
    if let Err(error) = made {
        println!("SKIPPED: device nodes can't be made here: {error}");
        return;
    }
    let json = |minor: u32| {
        format!(
            r#"{{"ociVersion":"1.2.0","linux":{{"devices":[{{"path":"/dev/own","type":"c","major":10,"minor":{minor},"fileMode":438}}]}}}}"#
        )
    };
    let mut spec: Spec = serde_json::from_str(&json(229)).unwrap();
    bind(&mut spec, folder.path()).unwrap();
    assert_eq!(spec.linux().as_ref().unwrap().devices(), &None);
    let mounts = spec.mounts().clone().unwrap();
    let [mount] = &mounts[..] else {
        panic!("{mounts:?}");
    };
    assert_eq!(mount.destination(), Path::new("/dev/own"));
    assert_eq!(mount.source().as_deref(), Some(fuse.as_path()));
    assert_eq!(fs::metadata(&fuse).unwrap().mode() & 0o7777, 0o666);
    let mut spec: Spec = serde_json::from_str(&json(7)).unwrap();
    let failure = bind(&mut spec, folder.path()).unwrap_err();
    assert!(
        failure.message.contains("no device for /dev/own"),
        "{failure}"
    );
}

#[test]
fn folder_that_is_not_there_is_named() {
    let failure = add(&mut Spec::default(), Path::new("/not/there")).unwrap_err();
    assert!(failure.message.contains("/not/there"), "{failure}");
}
