//! A disk under a hostile driver: no panic, no endless loop, and not a byte of the file outside the disk's segment changes.

#![no_main]

mod guest;

use std::{fs::File, os::unix::fs::FileExt, sync::OnceLock};

use guest::Guest;
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use virtio::{
    backend::Kick,
    block::{Access, Disk, Identity, layout::Segment},
    device::{Activation, ActiveQueue, Device},
};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const PAGE_BYTES: usize = 4096;

/// What lies before and after the disk's segment.
const GUARD: [u8; PAGE_BYTES] = [0x55; PAGE_BYTES];

/// Features of a disk, one bit of the second byte each: FLUSH, DISCARD, WRITE_ZEROES.
const FEATURES: [u64; 3] = [1 << 9, 1 << 13, 1 << 14];

fuzz_target!(|bytes: &[u8]| {
    let [options, rest @ ..] = bytes else {
        return;
    };
    if let Some(guest) = Guest::new(rest) {
        serve(*options, guest);
        check_guards();
    }
});

fn serve(options: u8, guest: Guest) {
    let access = if options & 1 == 1 {
        Access::Writable
    } else {
        Access::ReadOnly
    };
    let features = FEATURES.iter().zip(1..);
    let features = features.filter(|(_, bit)| options >> bit & 1 == 1);
    let active = ActiveQueue {
        queue: guest.queue,
        kick: Kick(EventFd::new(EFD_NONBLOCK).expect("make an eventfd")),
        notifier: guest.notifier.clone(),
    };
    let activation = Activation {
        memory: guest.memory,
        features: features.map(|(feature, _)| feature).sum(),
        queues: vec![Some(active)],
        config_changed: guest.notifier,
    };
    let backend = disk(access).activate(activation);
    // An error is an answer too.
    backend.expect("its queue is there").run().ok();
}

fn disk(access: Access) -> Disk {
    let segment = Segment {
        file: file().try_clone().expect("share the file"),
        offset: 4096,
        length: 4096,
    };
    let identity = Identity::new("fuzz").expect("a name");
    Disk::new(vec![segment], access, identity).expect("a disk")
}

/// A file in memory: a guard, the disk, a guard.
fn file() -> &'static File {
    static FILE: OnceLock<File> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = memfd_create("disk", MemfdFlags::CLOEXEC).expect("make a file in memory");
        let file = File::from(file);
        file.write_all_at(&GUARD, 0).expect("fill it");
        file.write_all_at(&GUARD, 8192).expect("fill it");
        file
    })
}

fn check_guards() {
    for position in [0, 8192] {
        let mut bytes = [0; PAGE_BYTES];
        file().read_exact_at(&mut bytes, position).expect("read it");
        assert!(bytes == GUARD, "a byte outside the segment changed");
    }
}
