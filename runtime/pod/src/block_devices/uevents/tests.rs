//! The kernel's messages, as it writes them, and that it sends them.

use std::{os::unix::fs::MetadataExt, process::Command, time::Duration};

use super::*;

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

/// A loop device over a file, detached with the last who has it open.
fn loop_device(file: &std::path::Path) -> Option<String> {
    let made = Command::new("losetup")
        .args(["--find", "--show"])
        .arg(file)
        .output();
    match made {
        Ok(made) if made.status.success() => {
            Some(String::from_utf8(made.stdout).unwrap().trim().to_owned())
        }
        refused => {
            println!("SKIPPED: a loop device can't be made: {refused:?}");
            None
        }
    }
}

#[tokio::test]
async fn device_that_grows_is_heard_of() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let Some(device) = loop_device(file.path()) else {
        return;
    };
    let losetup = |option: &str| {
        let done = Command::new("losetup").args([option, &device]).status();
        assert!(done.unwrap().success(), "{option}");
    };
    let number = std::fs::metadata(&device).unwrap().rdev();
    let expect = Change::Device {
        major: rustix::fs::major(number),
        minor: rustix::fs::minor(number),
    };
    let uevents = Uevents::listen().unwrap();
    file.as_file().set_len(2 << 20).unwrap();
    losetup("--set-capacity");
    let heard = tokio::time::timeout(Duration::from_secs(60), async {
        while uevents.next().await.unwrap() != expect {}
    });
    let heard = heard.await;
    losetup("--detach");
    heard.expect("the kernel says so");
}
