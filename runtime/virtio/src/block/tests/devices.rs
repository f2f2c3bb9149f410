//! Disks that are block devices of the host: what they offer, and how they clear. A file stands for the device where its answers are the
//! same; what only a device does is in the test host.

use std::{os::unix::fs::OpenOptionsExt, process::Command};

use super::*;

const DEVICE: BlockDevice = BlockDevice {
    block_bytes: 512,
    discard_bytes: 65536,
    writes_zeroes: true,
};

fn disk(file: &File, device: BlockDevice, access: Access) -> Result<Disk, DiskError> {
    let length = file.metadata().expect("ask its length").len();
    let file = file.try_clone().expect("share the file");
    Disk::of_block_device((file, length), device, access, identity())
}

fn config(disk: &Disk) -> [u8; 60] {
    let mut config = [0; 60];
    disk.config_read(0, &mut config);
    config
}

#[test]
fn device_offers_what_it_takes_and_no_more() {
    let file = file_of(&[0; 4096]);
    let check = |device: BlockDevice, access: Access, expect: &[u32]| {
        let features = disk(&file, device, access).expect("a disk").features();
        let optional = [
            VIRTIO_BLK_F_RO,
            VIRTIO_BLK_F_FLUSH,
            VIRTIO_BLK_F_DISCARD,
            VIRTIO_BLK_F_WRITE_ZEROES,
        ];
        let offered = optional.into_iter().filter(|bit| features >> bit & 1 == 1);
        assert_eq!(offered.collect::<Vec<_>>(), expect);
    };
    let all = [
        VIRTIO_BLK_F_FLUSH,
        VIRTIO_BLK_F_DISCARD,
        VIRTIO_BLK_F_WRITE_ZEROES,
    ];
    check(DEVICE, Access::Writable, &all);
    check(DEVICE, Access::ReadOnly, &[VIRTIO_BLK_F_RO]);
    let plain = BlockDevice {
        discard_bytes: 0,
        writes_zeroes: false,
        ..DEVICE
    };
    check(plain, Access::Writable, &[VIRTIO_BLK_F_FLUSH]);
}

#[test]
fn device_says_its_blocks_and_its_whole_length() {
    // No multiple of a page: a partition may be so.
    let file = file_of(&[0; 3 * 512]);
    let said = config(&disk(&file, DEVICE, Access::Writable).expect("a disk"));
    assert_eq!(said[..8], 3_u64.to_le_bytes());
    assert_eq!(said[20..24], 512_u32.to_le_bytes());
    assert_eq!(said[24..28], [3, 0, 8, 0]);
    assert_eq!(said[44..48], 128_u32.to_le_bytes());
    let file = file_of(&[0; 8192]);
    let large = BlockDevice {
        block_bytes: 4096,
        ..DEVICE
    };
    let said = config(&disk(&file, large, Access::Writable).expect("a disk"));
    assert_eq!(said[20..24], 4096_u32.to_le_bytes());
    assert_eq!(said[24..28], [0, 0, 1, 0]);
}

#[test]
fn device_that_can_be_no_disk_is_refused() {
    let file = file_of(&[0; 8192]);
    let check = |device: BlockDevice, length: u64, expect: &str| {
        let file = file.try_clone().expect("share the file");
        let disk = Disk::of_block_device((file, length), device, Access::Writable, identity());
        let error = disk.expect_err("no disk");
        let text = match &error {
            DiskError::Layout(layout) => layout.to_string(),
            _ => error.to_string(),
        };
        assert!(text.contains(expect), "{text}");
    };
    for block_bytes in [0, 256, 768, 8192] {
        let device = BlockDevice {
            block_bytes,
            ..DEVICE
        };
        check(device, 8192, "blocks of");
    }
    check(DEVICE, 0, "not multiples of 512 above 0");
    check(DEVICE, 700, "not multiples of 512 above 0");
    check(DEVICE, 8704, "its file at 8192");
}

#[test]
fn device_is_zeroed_and_asked_to_discard() {
    let file = file_of(&[7; 65536]);
    let mut desk = Desk::new(disk(&file, DEVICE, Access::Writable).expect("a disk"));
    for (flags, start) in [(0, 3), (1, 20)] {
        let piece = ranges(&desk, &[(start, 10, flags)]);
        assert_eq!(desk.ask(13, 0, &[piece]), (0, 1));
    }
    let mut bytes = vec![0; 65536];
    file.read_exact_at(&mut bytes, 0).expect("read");
    assert_eq!(bytes.iter().filter(|byte| **byte == 0).count(), 10240);
    // A discard is an ioctl that only a device takes, and nothing else is tried.
    let piece = ranges(&desk, &[(64, 8, 0)]);
    assert_eq!(desk.ask(11, 0, &[piece]), (1, 1));
    file.read_exact_at(&mut bytes, 0).expect("read");
    assert_eq!(bytes[64 * 512], 7);
}

#[test]
fn device_that_may_not_be_written_refuses() {
    let file = file_of(&[7; 4096]);
    let mut desk = Desk::new(disk(&file, DEVICE, Access::ReadOnly).expect("a disk"));
    desk.put(DATA, &[0xff; 512]);
    assert_eq!(desk.ask(1, 0, &[out(DATA, 512)]), (1, 1));
    let piece = ranges(&desk, &[(0, 8, 0)]);
    for kind in [11, 13] {
        assert_eq!(desk.ask(kind, 0, &[piece]), (2, 1));
    }
    assert_eq!(desk.ask(4, 0, &[]), (0, 1));
    assert_eq!(desk.ask(0, 0, &[into(DATA, 512)]), (0, 513));
    assert_eq!(desk.get(DATA, 512), [7; 512]);
}

/// A loop device over a file, on a host that has them.
struct Loop {
    path: String,
    backing: tempfile::NamedTempFile,
}

impl Loop {
    fn new(bytes: u64) -> Option<Self> {
        let backing = tempfile::NamedTempFile::new().expect("make a file");
        backing.as_file().set_len(bytes).expect("size the file");
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(backing.path())
            .output();
        match made {
            Ok(made) if made.status.success() => {
                let path = String::from_utf8(made.stdout).expect("a path");
                let path = path.trim().to_owned();
                Some(Self { path, backing })
            }
            refused => {
                eprintln!("SKIPPED: a loop device can't be made: {refused:?}");
                None
            }
        }
    }

    fn blocks(&self) -> u64 {
        self.backing.as_file().metadata().expect("ask").blocks()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let freed = Command::new("losetup")
            .args(["--detach", &self.path])
            .status();
        assert!(freed.expect("run losetup").success());
    }
}

#[test]
fn real_device_is_written_discarded_and_zeroed() {
    const BYTES: u64 = 1 << 20;
    let Some(device) = Loop::new(BYTES) else {
        return;
    };
    let direct = OFlags::DIRECT.bits().cast_signed();
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(direct)
        .open(&device.path)
        .expect("open the loop device");
    let takes = BlockDevice {
        discard_bytes: 4096,
        ..DEVICE
    };
    let disk = Disk::of_block_device((file, BYTES), takes, Access::Writable, identity());
    let mut desk = Desk::new(disk.expect("a disk"));
    let bytes = pattern(0x1_0000, 3);
    desk.put(DATA, &bytes);
    assert_eq!(desk.ask(1, 128, &[out(DATA, 0x1_0000)]), (0, 1));
    assert_eq!(desk.ask(4, 0, &[]), (0, 1));
    let mut held = vec![0; 0x1_0000];
    let backing = device.backing.as_file();
    backing.read_exact_at(&mut held, 0x1_0000).expect("read");
    assert_eq!(held, bytes, "it is in the file behind the device");
    let full = device.blocks();
    assert!(full >= 128, "{full}");
    let piece = ranges(&desk, &[(128, 64, 0)]);
    assert_eq!(desk.ask(11, 0, &[piece]), (0, 1));
    assert_eq!(full - device.blocks(), 64, "blocks of 512 bytes given back");
    let piece = ranges(&desk, &[(192, 32, 1), (224, 16, 0)]);
    assert_eq!(desk.ask(13, 0, &[piece]), (0, 1));
    backing.read_exact_at(&mut held, 0x1_0000).expect("read");
    assert!(held[..112 * 512].iter().all(|byte| *byte == 0));
    assert_eq!(held[112 * 512..], bytes[112 * 512..]);
    // What the device refuses, the guest is told.
    let piece = ranges(&desk, &[(2047, 2, 0)]);
    assert_eq!(desk.ask(11, 0, &[piece]), (1, 1));
    drop(desk);
}
