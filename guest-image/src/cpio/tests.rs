//! The archive, byte by byte where that says most, and as GNU cpio reads it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

fn sample() -> Vec<u8> {
    let mut archive = Archive::new(Vec::new());
    archive.directory("dev", 0o755).unwrap();
    archive
        .node(
            "dev/console",
            0o600,
            Kind::CharacterDevice { major: 5, minor: 1 },
        )
        .unwrap();
    archive
        .node(
            "dev/disk",
            0o660,
            Kind::BlockDevice {
                major: 254,
                minor: 16,
            },
        )
        .unwrap();
    archive.node("pipe", 0o622, Kind::Fifo).unwrap();
    archive.file("init", 0o4755, 5, &mut &b"hello"[..]).unwrap();
    archive.file("empty", 0o644, 0, &mut &b""[..]).unwrap();
    archive.symlink("sh", "bin/busybox").unwrap();
    archive.finish().unwrap()
}

#[test]
fn archive_of_one_file_is_these_bytes() {
    let mut archive = Archive::new(Vec::new());
    archive.file("a", 0o644, 2, &mut &b"xy"[..]).unwrap();
    let expected = [
        "070701",
        "00000001",
        "000081a4",
        "00000000",
        "00000000",
        "00000001",
        "00000000",
        "00000002",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000002",
        "00000000",
        "a\0",
        "xy\0\0", //
        "070701",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000001",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "0000000b",
        "00000000",
        "TRAILER!!!\0",
        "\0\0\0",
    ];
    assert_eq!(
        String::from_utf8(archive.finish().unwrap()).unwrap(),
        expected.concat()
    );
}

#[test]
fn archive_of_same_entries_is_same_bytes() {
    assert_eq!(sample(), sample());
}

#[test]
fn archive_listed_by_gnu_cpio_has_every_entry() {
    let child = Command::new("cpio")
        .args(["-itv", "--quiet", "--numeric-uid-gid"])
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: no cpio program here (Debian package cpio)");
        return;
    };
    child.stdin.take().unwrap().write_all(&sample()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let listed: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        listed,
        [
            "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev",
            "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console",
            "brw-rw---- 1 0 0 254, 16 Jan 1 1970 dev/disk",
            "prw--w--w- 1 0 0 0 Jan 1 1970 pipe",
            "-rwsr-xr-x 1 0 0 5 Jan 1 1970 init",
            "-rw-r--r-- 1 0 0 0 Jan 1 1970 empty",
            "lrwxrwxrwx 1 0 0 11 Jan 1 1970 sh -> bin/busybox",
        ]
    );
}

#[test]
fn name_outside_of_root_is_refused() {
    for name in ["", "/init", "a//b", "a/../b", ".", "a\0b", "TRAILER!!!"] {
        let result = Archive::new(Vec::new()).directory(name, 0o755);
        assert!(matches!(result, Err(CpioError::Name { .. })), "{name:?}");
    }
}

#[test]
fn file_with_other_size_than_announced_is_refused() {
    for content in [&b"abc"[..], &b"abcde"[..]] {
        let result = Archive::new(Vec::new()).file("f", 0o644, 4, &mut &*content);
        assert!(matches!(
            result,
            Err(CpioError::SizeChanged { announced: 4, .. })
        ));
    }
}

#[test]
fn file_of_four_gib_is_refused_before_it_is_read() {
    let result = Archive::new(Vec::new()).file("f", 0o644, 1 << 32, &mut io::repeat(0));
    assert!(matches!(result, Err(CpioError::TooLarge { .. })));
}
