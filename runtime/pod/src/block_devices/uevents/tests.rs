//! The kernel's messages, as it writes them. That it sends them is seen in the test host.

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
