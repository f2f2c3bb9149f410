//! Block devices of the host that a running monitor is given: real ones, loop devices.

use std::{fs::File, mem, path::Path, process::Command, time::Duration};

use vm_client::BlockDevicePlan;

use crate::{
    guest,
    requests::refusal,
    stage::{SOON, Scene, soon},
};

/// A loop device over a file, on a host that has them.
struct Loop {
    path: String,
    backing: tempfile::NamedTempFile,
    detached: bool,
}

impl Loop {
    fn new(bytes: u64) -> Option<Self> {
        let backing = tempfile::NamedTempFile::new().unwrap();
        backing.as_file().set_len(bytes).unwrap();
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(backing.path())
            .output();
        match made {
            Ok(made) if made.status.success() => Some(Self {
                path: String::from_utf8(made.stdout).unwrap().trim().to_owned(),
                backing,
                detached: false,
            }),
            refused => {
                eprintln!("SKIPPED: a loop device can't be made: {refused:?}");
                None
            }
        }
    }

    fn plan(&self, id: &str, read_only: bool) -> BlockDevicePlan {
        let opened = File::options()
            .read(true)
            .write(!read_only)
            .open(&self.path);
        BlockDevicePlan {
            id: id.parse().unwrap(),
            file: opened.unwrap(),
            length: 1 << 20,
            read_only,
            block_bytes: 512,
            discard_bytes: 4096,
            writes_zeroes: true,
        }
    }

    /// As the host's storage does it: the file, then the device over it.
    fn resize(&self, bytes: u64) {
        self.backing.as_file().set_len(bytes).unwrap();
        let told = Command::new("losetup")
            .args(["--set-capacity", &self.path])
            .status();
        assert!(told.unwrap().success());
    }

    /// Detached when the last one closes it: waits for that. Processes that other tests start have copies of descriptors for a moment.
    async fn closed(mut self) {
        self.detach();
        let backing = format!("/sys/block/{}/loop", self.path.trim_start_matches("/dev/"));
        soon(async {
            while Path::new(&backing).exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Once: its number may be another's then.
    fn detach(&mut self) {
        if !mem::replace(&mut self.detached, true) {
            Command::new("losetup")
                .args(["--detach", &self.path])
                .output()
                .ok();
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.detach();
    }
}

#[tokio::test]
async fn block_devices_come_and_go_and_are_closed() {
    let Some(scene) = Scene::set() else { return };
    let Some(device) = Loop::new(1 << 20) else {
        return;
    };
    let monitor = scene.launch(guest::WAITS).await;
    let add = async |plan| soon(monitor.add_block_device(plan)).await;
    let written = add(device.plan("block-7.0-w", false)).await.unwrap();
    let read = add(device.plan("block-7.0-r", true)).await.unwrap();
    assert_ne!(written, read);
    let disks = soon(monitor.status()).await.unwrap().disks;
    assert_eq!(disks.get(&"block-7.0-r".parse().unwrap()), Some(&read));

    let reason = refusal(add(device.plan("block-7.0-w", false)).await);
    assert_eq!(reason, "a disk block-7.0-w is on the bus already");
    let mut large = device.plan("large", false);
    large.length = 2 << 20;
    let reason = refusal(add(large).await);
    assert!(reason.contains("make disk large"), "{reason}");
    let mut small = device.plan("small", false);
    small.block_bytes = 100;
    let reason = refusal(add(small).await);
    assert!(reason.contains("block device small is refused"), "{reason}");
    let mut locked = device.plan("locked", true);
    locked.read_only = false;
    let reason = refusal(add(locked).await);
    assert!(reason.contains("Writable disk"), "{reason}");

    assert_eq!(soon(monitor.status()).await.unwrap().disks.len(), 2);
    for address in [written, read] {
        soon(monitor.remove_device(address)).await.unwrap();
    }
    // Before the monitor ends: it must not have it any more.
    device.closed().await;
    soon(monitor.stop(SOON)).await;
}

#[tokio::test]
async fn block_device_that_changes_its_size_grows_and_does_not_shrink() {
    let Some(scene) = Scene::set() else { return };
    let Some(device) = Loop::new(1 << 20) else {
        return;
    };
    let monitor = scene.launch(guest::WAITS).await;
    let address = soon(monitor.add_block_device(device.plan("block-7.0-w", false))).await;
    let grow = async |id: &str| soon(monitor.grow_block_device(id.parse().unwrap())).await;
    assert_eq!(grow("block-7.0-w").await.unwrap(), 1 << 20);
    device.resize(3 << 20);
    assert_eq!(grow("block-7.0-w").await.unwrap(), 3 << 20);
    device.resize(2 << 20);
    let reason = refusal(grow("block-7.0-w").await);
    assert!(
        reason.contains("shrunk from 3145728 to 2097152"),
        "{reason}"
    );
    let reason = refusal(grow("block-7.0-r").await);
    assert_eq!(reason, "there is no disk block-7.0-r");
    soon(monitor.remove_device(address.unwrap())).await.unwrap();
    // Before the monitor ends: it must not have it any more.
    device.closed().await;
    soon(monitor.stop(SOON)).await;
}
