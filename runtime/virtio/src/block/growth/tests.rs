//! Devices that change their size under a disk and its driver. A file stands for the device.

use std::fs::File;

use machine::memory::GuestRam;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::*;
use crate::{
    backend::{Backend, Kick},
    block::{Access, BlockDevice, Disk, Identity, Segment},
    device::{Activation, ActiveQueue, Device},
    test_driver::{Counter, DriverRing, memory},
};

const DEVICE: BlockDevice = BlockDevice {
    block_bytes: 4096,
    discard_bytes: 0,
    writes_zeroes: false,
};

fn file(length: u64) -> File {
    let file = tempfile::tempfile().expect("make a file");
    file.set_len(length).expect("size the file");
    file
}

fn disk(file: &File) -> Disk {
    let length = file.metadata().expect("ask its length").len();
    let file = file.try_clone().expect("share the file");
    let identity = Identity::new("block").expect("a name");
    Disk::of_block_device((file, length), DEVICE, Access::Writable, identity).expect("a disk")
}

fn sectors(disk: &Disk) -> u64 {
    let mut bytes = [0; 8];
    disk.config_read(0, &mut bytes);
    u64::from_le_bytes(bytes)
}

fn start(disk: &mut Disk, memory: &GuestRam) -> (Arc<Counter>, Box<dyn Backend>) {
    let (counter, config_changed) = Counter::notifier();
    let (_rings, notifier) = Counter::notifier();
    let active = ActiveQueue {
        queue: DriverRing::new(memory, 0x1_0000, 8).queue(true),
        kick: Kick(EventFd::new(EFD_NONBLOCK).expect("make an eventfd")),
        notifier,
    };
    let activation = Activation {
        memory: memory.clone(),
        features: disk.features(),
        queues: vec![Some(active)],
        config_changed,
    };
    let backend = disk.activate(activation).expect("its queue is there");
    (counter, backend)
}

#[test]
fn device_that_grows_tells_the_driver_once() {
    let file = file(8192);
    let mut disk = disk(&file);
    let growth = disk.growth();
    let memory = memory();
    let (told, _backend) = start(&mut disk, &memory);
    assert_eq!(growth.look().expect("as it was"), 8192);
    assert_eq!(told.count(), 0);
    // Not a whole block more.
    file.set_len(12288 + 512).expect("grow");
    for _ in 0..2 {
        assert_eq!(growth.look().expect("larger"), 12288);
        assert_eq!((told.count(), sectors(&disk)), (1, 24));
    }
}

#[test]
fn device_that_grew_before_its_driver_started_tells_it() {
    let file = file(8192);
    let mut disk = disk(&file);
    let growth = disk.growth();
    file.set_len(16384).expect("grow");
    assert_eq!(growth.look().expect("larger"), 16384);
    let memory = memory();
    for _driver in 0..2 {
        let (told, _backend) = start(&mut disk, &memory);
        assert_eq!(told.count(), 1);
    }
}

#[test]
fn device_that_shrinks_is_refused_and_the_driver_hears_nothing() {
    let file = file(12288);
    let mut disk = disk(&file);
    let growth = disk.growth();
    let memory = memory();
    let (told, _backend) = start(&mut disk, &memory);
    file.set_len(8192).expect("shrink");
    let error = growth.look().expect_err("smaller").to_string();
    assert!(error.contains("from 12288 to 8192 bytes"), "{error}");
    assert_eq!((told.count(), sectors(&disk)), (0, 24));
}

#[test]
fn disk_of_files_does_not_grow() {
    let file = file(4096);
    let segment = Segment {
        file: file.try_clone().expect("share the file"),
        offset: 0,
        length: 4096,
    };
    let identity = Identity::new("image").expect("a name");
    let disk = Disk::new(vec![segment], Access::ReadOnly, identity).expect("a disk");
    file.set_len(8192).expect("grow");
    assert!(matches!(disk.growth().look(), Err(GrowError::NoDevice)));
    assert_eq!(sectors(&disk), 8);
}
