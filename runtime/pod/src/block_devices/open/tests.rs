//! What can be no disk of a VM, and what sysfs says, from folders that look like it.

use std::{os::unix::fs::symlink, process::Command};

use super::*;
use crate::block_devices::loop_device::Loop;

#[test]
fn what_is_no_block_device_is_refused() {
    let check = |path: &Path, expect: &str| {
        let error = open_now(path, true).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    check(&file, "it is no block device");
    check(Path::new("/dev/null"), "it is no block device");
    check(&folder.path().join("missing"), "open it for reading");
}

#[test]
fn sysfs_says_what_a_device_takes() {
    let folder = tempfile::tempdir().unwrap();
    let queue = folder.path().join("block/sda/queue");
    fs::create_dir_all(&queue).unwrap();
    fs::create_dir_all(folder.path().join("block/sda/sda1")).unwrap();
    symlink("block/sda", folder.path().join("8:0")).unwrap();
    symlink("block/sda/sda1", folder.path().join("8:1")).unwrap();
    let check = |discards: &str, granularity: &str, zeroes: &str, expect: (u32, bool)| {
        for (name, text) in [
            ("discard_max_bytes", discards),
            ("discard_granularity", granularity),
            ("write_zeroes_max_bytes", zeroes),
        ] {
            fs::write(queue.join(name), format!("{text}\n")).unwrap();
        }
        for number in ["8:0", "8:1"] {
            let takes = Takes::read(&queue_folder(&folder.path().join(number)));
            assert_eq!((takes.discard_bytes, takes.writes_zeroes), expect);
        }
    };
    check("2147450880", "4096", "33553920", (4096, true));
    check("2147450880", "0", "0", (1, false));
    check("0", "512", "0", (0, false));
    check("", "", "", (0, false));
    let nowhere = queue_folder(&folder.path().join("9:9"));
    assert_eq!(Takes::read(&nowhere), Takes::default());
}

#[test]
fn real_device_is_opened_past_the_page_cache_with_the_right_that_was_asked_for() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // No multiple of a page.
    file.as_file().set_len(9 * 512).unwrap();
    let Some(device) = Loop::new(file.path()) else {
        return;
    };
    let check = |read_only: bool, right: &str, mode: OFlags| {
        let Opened { id, plan } = open_now(&device.0, read_only).unwrap();
        let name = id.as_str();
        assert!(name.starts_with("block-7."), "{name}");
        assert!(name.ends_with(right), "{name}");
        assert_eq!((plan.length, plan.block_bytes), (9 * 512, 512));
        assert_eq!(plan.read_only, read_only);
        let flags = rustix::fs::fcntl_getfl(&plan.file).unwrap();
        assert_eq!(flags & OFlags::ACCMODE, mode);
        assert!(flags.contains(OFlags::DIRECT));
    };
    check(false, "-w", OFlags::RDWR);
    check(true, "-r", OFlags::RDONLY);
    // What can't be written on the host can't be in the guest, whoever asks.
    let locked = Command::new("blockdev")
        .arg("--setro")
        .arg(&device.0)
        .status();
    assert!(locked.unwrap().success());
    let Opened { id, plan } = open_now(&device.0, false).unwrap();
    assert!(plan.read_only && id.as_str().ends_with("-r"), "{id}");
}
