//! Block devices of containers: a node that is mounted works at any path and holds to its rule. The disks themselves need a guest.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
};

use agent_client::{AgentError, ContainerDisk};
use serde_json::json;

use crate::host::{Host, Wanted, shell};

/// A loop device over a file, on a host that has them.
struct Loop {
    device: PathBuf,
    backing: tempfile::NamedTempFile,
}

impl Loop {
    fn new() -> Option<Self> {
        let backing = tempfile::NamedTempFile::new().unwrap();
        backing.as_file().set_len(1 << 20).unwrap();
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(backing.path())
            .output();
        match made {
            Ok(made) if made.status.success() => {
                let device = String::from_utf8(made.stdout).unwrap().trim().into();
                Some(Self { device, backing })
            }
            refused => {
                println!("SKIPPED: a loop device can't be made: {refused:?}");
                None
            }
        }
    }

    /// As the kernel shows it: "7:0".
    fn number(&self) -> String {
        let name = self.device.file_name().unwrap();
        let folder = Path::new("/sys/block").join(name);
        let text = fs::read_to_string(folder.join("dev")).unwrap();
        text.trim().to_owned()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let detached = Command::new("losetup")
            .arg("--detach")
            .arg(&self.device)
            .status();
        assert!(detached.unwrap().success());
    }
}

/// As the agent of a guest puts a disk into a specification.
fn with_device(script: &str, device: &Loop, access: &str) -> Wanted {
    let number = device.number();
    let (major, minor) = number.split_once(':').unwrap();
    let number = |text: &str| text.parse::<i64>().unwrap();
    let mut wanted = shell(script);
    let mounts = wanted.spec["mounts"].as_array_mut().unwrap();
    for destination in ["/dev/xvda", "/mnt/deep/volume1"] {
        mounts.push(json!({
            "destination": destination,
            "type": "bind",
            "source": device.device,
            "options": ["bind", "nosuid", "noexec"],
        }));
    }
    wanted.spec["linux"]["resources"] = json!({"devices": [
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": number(major), "minor": number(minor), "access": access},
    ]});
    wanted.spec["annotations"] = json!({"cofferdam.agent.disks": "mounted"});
    wanted
}

#[tokio::test]
async fn node_that_is_mounted_works_at_any_path_and_holds_to_its_rule() {
    let Some(host) = Host::start().await else {
        return;
    };
    let Some(device) = Loop::new() else {
        host.stop().await;
        return;
    };
    let script = "stat -c '%F %t:%T' /dev/xvda; head -c 1048577 /mnt/deep/volume1 | wc -c; \
        echo pod | dd of=/dev/xvda conv=fsync,notrunc 2>/dev/null && echo written";
    let about = fs::metadata(&device.device).unwrap().rdev();
    // Linux' numbers in hexadecimal, both below 256 here.
    let shown = format!("block special file {:x}:{:x}\n", about >> 8, about & 0xff);
    let finished = host.run(with_device(script, &device, "rwm")).await;
    assert_eq!(finished.stdout, format!("{shown}1048576\nwritten\n"));
    let mut start = [0; 4];
    let backing: &File = device.backing.as_file();
    backing.read_exact_at(&mut start, 0).unwrap();
    assert_eq!(&start, b"pod\n");
    let finished = host.run(with_device(script, &device, "r")).await;
    assert_eq!(finished.stdout, format!("{shown}1048576\n"));
    drop(device);
    host.stop().await;
}

#[tokio::test]
async fn agent_on_a_host_has_no_disks_to_give() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("true");
    wanted.disks = vec![ContainerDisk {
        pci_address: "0000:00:05.0".to_owned(),
        path: "/dev/xvda".to_owned(),
        access: "rwm".to_owned(),
        mode: 0o660,
        uid: 0,
        gid: 6,
    }];
    let refused = host.create("c", wanted).await;
    let Err(AgentError::Invalid { message }) = refused else {
        panic!("{refused:?}");
    };
    assert!(message.contains("agent of a guest only"), "{message}");
    host.assert_nothing_left("c");
    host.stop().await;
}
