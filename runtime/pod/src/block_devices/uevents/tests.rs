//! The kernel's messages, as it writes them, and that it sends them.

use std::{os::unix::fs::MetadataExt, process::Command, time::Duration};

use super::*;
use crate::block_devices::loop_device::Loop;

fn check(message: &str, expect: Option<(u32, u32)>) {
    let expect = expect.map(|(major, minor)| Change::Device { major, minor });
    assert_eq!(change(message.as_bytes()), expect, "{message:?}");
}

#[test]
fn message_of_a_block_device_that_changed_has_its_number() {
    let loop0 = "change@/devices/virtual/block/loop0\0ACTION=change\0DEVPATH=/devices/virtual/block/loop0\0SUBSYSTEM=block\0\
        RESIZE=1\0MAJOR=7\0MINOR=0\0DEVNAME=loop0\0DEVTYPE=disk\0DISKSEQ=12\0SEQNUM=2291\0";
    check(loop0, Some((7, 0)));
    // A device-mapper table that was resumed says no RESIZE.
    let mapped = "change@/devices/virtual/block/dm-3\0ACTION=change\0SUBSYSTEM=block\0DM_COOKIE=6305231\0MAJOR=253\0MINOR=3\0";
    check(mapped, Some((253, 3)));
}

#[test]
fn message_of_something_else_is_none() {
    check(
        "add@/d\0ACTION=add\0SUBSYSTEM=block\0MAJOR=7\0MINOR=0\0",
        None,
    );
    check(
        "change@/d\0ACTION=change\0SUBSYSTEM=net\0MAJOR=7\0MINOR=0\0",
        None,
    );
    check("change@/d\0ACTION=change\0SUBSYSTEM=block\0MAJOR=7\0", None);
    check(
        "change@/d\0ACTION=change\0SUBSYSTEM=block\0MAJOR=x\0MINOR=0\0",
        None,
    );
    check("libudev\0\u{fe}\u{ed}", None);
    check("", None);
}

#[tokio::test]
async fn device_that_grows_is_heard_of() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let Some(device) = Loop::new(file.path()) else {
        return;
    };
    let number = std::fs::metadata(&device.0).unwrap().rdev();
    let expect = Change::Device {
        major: rustix::fs::major(number),
        minor: rustix::fs::minor(number),
    };
    let uevents = Uevents::listen().unwrap();
    file.as_file().set_len(2 << 20).unwrap();
    let told = Command::new("losetup")
        .arg("--set-capacity")
        .arg(&device.0)
        .status();
    assert!(told.unwrap().success());
    let heard = tokio::time::timeout(Duration::from_secs(60), async {
        while uevents.next().await.unwrap() != expect {}
    });
    heard.await.expect("the kernel says so");
}
