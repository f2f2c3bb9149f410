//! The bounds of a block device.

use super::*;

fn device() -> BlockDevice {
    BlockDevice {
        id: "block-7.0-w".parse().unwrap(),
        fd: Fd(0),
        length: 3 * 512,
        read_only: false,
        block_bytes: 512,
        discard_bytes: 0,
        writes_zeroes: false,
    }
}

fn check(change: impl FnOnce(&mut BlockDevice), fds: usize, expect: Option<&str>) {
    let mut device = device();
    change(&mut device);
    let found = device.check(fds).err().map(|error| error.to_string());
    match (&found, expect) {
        (None, None) => {}
        (Some(text), Some(words)) => assert!(text.contains(words), "{text}"),
        _ => panic!("{found:?}, not {expect:?}"),
    }
}

#[test]
fn block_device_holds_to_its_bounds() {
    check(|_| {}, 1, None);
    check(|device| device.length = 4096 << 30, 1, None);
    check(|device| device.block_bytes = 4096, 1, Some("a multiple"));
    for bytes in [0, 256, 513, 8192] {
        check(
            move |device| device.block_bytes = bytes,
            1,
            Some("512, 1024"),
        );
    }
    check(|device| device.length = 0, 1, Some("not 0"));
    check(|device| device.length = 1000, 1, Some("a multiple"));
    check(|device| device.length = 1 << 63, 1, Some("2^63"));
    for fds in [0, 2] {
        check(|_| {}, fds, Some("one descriptor"));
    }
    check(|device| device.fd = Fd(1), 1, Some("one descriptor"));
}
