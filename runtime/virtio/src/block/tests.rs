//! Disks at work, against files: what a driver reads, writes and clears, and what it is refused.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::unix::fs::{FileExt, MetadataExt},
};

use machine::memory::GuestRam;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::*;

mod devices;

use crate::{
    backend::Kick,
    device::ActiveQueue,
    test_driver::{Counter, DriverRing, Piece, into, memory, out},
};

const HEADER: u64 = 0x2_0000;
const STATUS: u64 = 0x2_1000;
const RANGES: u64 = 0x2_2000;
const TABLE: u64 = 0x3_0000;
const DATA: u64 = 0x10_0000;

const FLUSH_BIT: u64 = 1 << VIRTIO_BLK_F_FLUSH;

/// A disk with its driver.
struct Desk {
    memory: GuestRam,
    driver: DriverRing,
    backend: Box<dyn Backend>,
}

impl Desk {
    fn new(mut disk: Disk) -> Self {
        let memory = memory();
        let driver = DriverRing::new(&memory, 0x1_0000, 256);
        let (_counter, notifier) = Counter::notifier();
        let active = ActiveQueue {
            queue: driver.queue(true),
            kick: Kick(EventFd::new(EFD_NONBLOCK).expect("make an eventfd")),
            notifier: notifier.clone(),
        };
        let activation = Activation {
            memory: memory.clone(),
            features: disk.features(),
            queues: vec![Some(active)],
            config_changed: notifier,
        };
        let backend = disk.activate(activation).expect("its queue is there");
        Self {
            memory,
            driver,
            backend,
        }
    }

    /// Sends a request with these pieces between header and status; returns the status and the used length.
    fn ask(&mut self, kind: u32, sector: u64, pieces: &[Piece]) -> (u8, u32) {
        let mut header = Vec::new();
        header.extend(kind.to_le_bytes());
        header.extend([0; 4]);
        header.extend(sector.to_le_bytes());
        self.put(HEADER, &header);
        self.put(STATUS, &[0xee]);
        let mut all = vec![out(HEADER, 16)];
        all.extend(pieces);
        all.push(into(STATUS, 1));
        self.give(&all)
    }

    fn give(&mut self, pieces: &[Piece]) -> (u8, u32) {
        self.driver.request(pieces);
        self.backend.run().expect("a sound ring");
        let (_head, length) = self.driver.take_used().expect("every request is answered");
        (self.get(STATUS, 1)[0], length)
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        let written = self.memory.write_slice(bytes, GuestAddress(address));
        written.expect("in memory");
    }

    fn get(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.memory.read_slice(&mut bytes, GuestAddress(address));
        read.expect("in memory");
        bytes
    }
}

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    let bytes = (0..length).map(|at| u8::try_from(at * 31 % 253).expect("below 253") ^ seed);
    bytes.collect()
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("make a file");
    file.write_all(bytes).expect("fill the file");
    file
}

fn identity() -> Identity {
    Identity::new("scratch-0").expect("a name")
}

fn writable(file: &File) -> Disk {
    let length = file.metadata().expect("ask its length").len();
    let segment = Segment {
        file: file.try_clone().expect("share the file"),
        offset: 0,
        length,
    };
    Disk::new(vec![segment], Access::Writable, identity()).expect("a disk")
}

/// Three segments of 4, 8 and 4 KiB out of longer files, and their bytes as one.
fn image() -> (Disk, Vec<u8>) {
    let mut flat = Vec::new();
    let mut segments = Vec::new();
    for (seed, offset, length) in [(1, 0, 4096), (2, 4096, 8192), (3, 8192, 4096)] {
        let bytes = pattern(offset + length + 4096, seed);
        flat.extend(&bytes[offset..offset + length]);
        segments.push(Segment {
            file: file_of(&bytes),
            offset: u64::try_from(offset).expect("small"),
            length: u64::try_from(length).expect("small"),
        });
    }
    let disk = Disk::new(segments, Access::ReadOnly, identity()).expect("a disk");
    (disk, flat)
}

#[test]
fn image_read_anywhere_gives_the_segments_bytes() {
    let (disk, flat) = image();
    let mut desk = Desk::new(disk);
    for (sector, length) in [
        (0, 512),
        (0, 16384),
        (7, 1024),
        (6, 10240),
        (23, 1024),
        (31, 512),
    ] {
        let start = usize::try_from(sector * 512).expect("small");
        let size = usize::try_from(length).expect("small");
        // Into two pieces that don't end where the segments do.
        let pieces = [into(DATA, 100), into(DATA + 0x8000, length - 100)];
        assert_eq!(desk.ask(0, sector, &pieces), (0, length + 1));
        let mut got = desk.get(DATA, 100);
        got.extend(desk.get(DATA + 0x8000, size - 100));
        assert_eq!(got, flat[start..start + size], "sector {sector}");
    }
}

#[test]
fn image_read_past_its_end_fails_and_touches_nothing() {
    let (disk, _flat) = image();
    let mut desk = Desk::new(disk);
    for (sector, length) in [
        (32, 512),
        (31, 1024),
        (u64::MAX, 512),
        (1 << 55, 512),
        (0, 0x10_0000),
    ] {
        assert_eq!(desk.ask(0, sector, &[into(DATA, length)]), (1, 0));
        assert!(desk.get(DATA, 4096).iter().all(|byte| *byte == 0));
    }
}

#[test]
fn image_written_refuses() {
    let (disk, flat) = image();
    assert_eq!(disk.features() >> VIRTIO_BLK_F_RO & 1, 1);
    let mut desk = Desk::new(disk);
    desk.put(DATA, &[0xff; 512]);
    assert_eq!(desk.ask(1, 0, &[out(DATA, 512)]), (1, 1));
    assert_eq!(desk.ask(0, 0, &[into(DATA, 512)]), (0, 513));
    assert_eq!(desk.get(DATA, 512), flat[..512]);
    // Not offered, so unknown.
    assert_eq!(desk.ask(11, 0, &[out(RANGES, 16)]), (2, 1));
    assert_eq!(desk.ask(4, 0, &[]), (0, 1));
}

#[test]
fn disk_written_and_flushed_holds_it() {
    let mut file = file_of(&[0; 65536]);
    let mut desk = Desk::new(writable(&file));
    let bytes = pattern(9 * 512, 9);
    desk.put(DATA, &bytes[..700]);
    desk.put(DATA + 0x8000, &bytes[700..]);
    let pieces = [out(DATA, 700), out(DATA + 0x8000, 9 * 512 - 700)];
    assert_eq!(desk.ask(1, 5, &pieces), (0, 1));
    assert_eq!(desk.ask(4, 0, &[]), (0, 1));
    let mut held = Vec::new();
    file.rewind().expect("rewind");
    file.read_to_end(&mut held).expect("read back");
    assert_eq!(held.len(), 65536);
    assert_eq!(held[5 * 512..14 * 512], bytes);
    assert!(held[..5 * 512].iter().all(|byte| *byte == 0));
    assert_eq!(desk.ask(1, 128, &[out(DATA, 512)]), (1, 1));
    assert_eq!(desk.ask(1, 127, &[out(DATA, 512)]), (0, 1));
}

fn ranges(desk: &Desk, ranges: &[(u64, u32, u32)]) -> Piece {
    let mut bytes = Vec::new();
    for (sector, sectors, flags) in ranges {
        bytes.extend(sector.to_le_bytes());
        bytes.extend(sectors.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
    }
    desk.put(RANGES, &bytes);
    out(RANGES, u32::try_from(bytes.len()).expect("small"))
}

#[test]
fn disk_discarded_becomes_holes() {
    let length = 1 << 20;
    let file = file_of(&vec![7; length]);
    let mut desk = Desk::new(writable(&file));
    let before = file.metadata().expect("ask").blocks();
    let piece = ranges(&desk, &[(0, 512, 0), (1024, 256, 0)]);
    assert_eq!(desk.ask(11, 0, &[piece]), (0, 1));
    let after = file.metadata().expect("ask").blocks();
    assert_eq!(before - after, 768, "blocks of 512 bytes given back");
    assert_eq!(file.metadata().expect("ask").len(), 1 << 20);
    let mut byte = [0; 3];
    for (at, expected) in [(512 * 512 - 1, 0), (512 * 512, 7), (1024 * 512, 0)] {
        file.read_exact_at(&mut byte[..1], at).expect("read");
        assert_eq!(byte[0], expected, "at {at}");
    }
    // Past the end, with unmap, and too long: the first range has been done, which the driver must expect.
    let piece = ranges(&desk, &[(2047, 2, 0)]);
    assert_eq!(desk.ask(11, 0, &[piece]), (1, 1));
    let piece = ranges(&desk, &[(0, 8, 1)]);
    assert_eq!(desk.ask(11, 0, &[piece]), (2, 1));
    let piece = ranges(&desk, &[(0, u32::MAX, 0)]);
    assert_eq!(desk.ask(11, 0, &[piece]), (1, 1));
    let piece = ranges(&desk, &[(5, 0, 0)]);
    assert_eq!(desk.ask(11, 0, &[piece]), (0, 1));
}

#[test]
fn disk_zeroed_reads_zeroes() {
    for flags in [0, 1] {
        let file = file_of(&[7; 65536]);
        let mut desk = Desk::new(writable(&file));
        let piece = ranges(&desk, &[(3, 10, flags)]);
        assert_eq!(desk.ask(13, 0, &[piece]), (0, 1));
        let mut bytes = vec![0; 65536];
        file.read_exact_at(&mut bytes, 0).expect("read");
        let zeroes = bytes.iter().filter(|byte| **byte == 0).count();
        assert_eq!(zeroes, 5120);
        assert!(bytes[3 * 512..13 * 512].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn disk_asked_who_it_is_says_its_name() {
    let mut desk = Desk::new(writable(&file_of(&[0; 4096])));
    assert_eq!(desk.ask(8, 0, &[into(DATA, 20)]), (0, 21));
    assert_eq!(desk.get(DATA, 20), b"scratch-0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(desk.ask(8, 0, &[into(DATA, 19)]), (1, 0));
}

#[test]
fn disk_with_malformed_requests_answers_what_it_can() {
    let mut desk = Desk::new(writable(&file_of(&[0; 4096])));
    // No status byte: given back untouched.
    desk.put(STATUS, &[0xee]);
    assert_eq!(desk.give(&[out(HEADER, 16)]), (0xee, 0));
    // No header, or half of one: the status is there.
    assert_eq!(desk.give(&[into(STATUS, 1)]), (1, 1));
    assert_eq!(desk.give(&[out(HEADER, 15), into(STATUS, 1)]), (1, 1));
    // The header in pieces is a header.
    desk.put(HEADER, &[0; 16]);
    let pieces = [
        out(HEADER, 7),
        out(HEADER + 7, 9),
        into(DATA, 512),
        into(STATUS, 1),
    ];
    assert_eq!(desk.give(&pieces), (0, 513));
    // An unknown type.
    assert_eq!(desk.ask(99, 0, &[into(DATA, 512)]), (2, 0));
}

#[test]
fn disk_whose_file_shrank_reports_an_error() {
    let file = file_of(&[7; 8192]);
    let mut desk = Desk::new(writable(&file));
    file.set_len(4096).expect("shrink");
    assert_eq!(desk.ask(0, 7, &[into(DATA, 1024)]), (1, 0));
    assert_eq!(desk.ask(0, 7, &[into(DATA, 512)]), (0, 513));
}

#[test]
fn disk_with_more_requests_than_a_run_serves_takes_turns() {
    let mut desk = Desk::new(writable(&file_of(&[0; 4096])));
    desk.put(HEADER, &[0; 16]);
    let pieces = [out(HEADER, 16), into(DATA, 512), into(STATUS, 1)];
    for _ in 0..201 {
        desk.driver.request_indirect(TABLE, &pieces);
    }
    for expected in [64, 64, 64, 9, 0] {
        desk.backend.run().expect("a sound ring");
        let served = std::iter::from_fn(|| desk.driver.take_used()).count();
        assert_eq!(served, expected);
        let mut wake = [PollFd::from_borrowed_fd(desk.backend.wake(), PollFlags::IN)];
        let awake = poll(&mut wake, Some(&Timespec::default())).expect("poll");
        assert_eq!(
            awake == 1,
            expected == 64,
            "forgets the rest, or never sleeps"
        );
    }
}

#[test]
fn disk_with_a_looping_chain_ends() {
    let mut desk = Desk::new(writable(&file_of(&[0; 4096])));
    desk.driver
        .descriptor(0, (DATA, 16), crate::test_driver::NEXT, 0);
    desk.driver.offer(0);
    assert!(desk.backend.run().is_err());
}

#[test]
fn disk_configuration_says_size_and_limits() {
    let (disk, _flat) = image();
    let mut config = [0; 64];
    disk.config_read(0, &mut config);
    assert_eq!(config[..8], 32_u64.to_le_bytes());
    assert_eq!(config[12..16], 254_u32.to_le_bytes());
    assert_eq!(config[20..24], 512_u32.to_le_bytes());
    assert!(config[36..].iter().all(|byte| *byte == 0));
    let disk = writable(&file_of(&[0; 4096]));
    let mut config = [0; 64];
    disk.config_read(0, &mut config);
    assert_eq!(config[..8], 8_u64.to_le_bytes());
    assert_eq!(config[40..44], 32_u32.to_le_bytes());
    assert_eq!(config[56..60], [1, 0, 0, 0]);
    let mut tail = [0; 4];
    disk.config_read(58, &mut tail);
    disk.config_read(u64::MAX, &mut tail);
    assert_eq!(tail, [0; 4]);
}

#[test]
fn disk_without_flush_agreed_syncs_each_write() {
    // That it reaches the disk can't be seen from here; that the path works can.
    let file = file_of(&[0; 4096]);
    let mut disk = writable(&file);
    assert_eq!(disk.features() & FLUSH_BIT, FLUSH_BIT);
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (_counter, notifier) = Counter::notifier();
    let active = ActiveQueue {
        queue: driver.queue(true),
        kick: Kick(EventFd::new(EFD_NONBLOCK).expect("make an eventfd")),
        notifier: notifier.clone(),
    };
    let activation = Activation {
        memory: memory.clone(),
        features: 0,
        queues: vec![Some(active)],
        config_changed: notifier,
    };
    let mut backend = disk.activate(activation).expect("its queue is there");
    let header = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    memory
        .write_slice(&header, GuestAddress(HEADER))
        .expect("in memory");
    memory
        .write_slice(&[5; 512], GuestAddress(DATA))
        .expect("in memory");
    driver.request(&[out(HEADER, 16), out(DATA, 512), into(STATUS, 1)]);
    backend.run().expect("a sound ring");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 511).expect("read");
    assert_eq!(byte, [5]);
}

#[test]
fn disk_of_wrong_parts_is_refused() {
    let segments = || {
        let file = file_of(&[0; 4096]);
        Segment {
            file,
            offset: 0,
            length: 4096,
        }
    };
    let error = Disk::new(vec![segments(), segments()], Access::Writable, identity());
    let error = error.expect_err("two segments");
    assert_eq!(
        error.to_string(),
        "make a writable disk of 2 segments (it takes one)"
    );
    let file = tempfile::NamedTempFile::new().expect("make a file");
    file.as_file().set_len(4096).expect("size the file");
    let open = |options: &std::fs::OpenOptions| {
        let file = options.open(file.path()).expect("open it again");
        let segment = Segment {
            file,
            offset: 0,
            length: 4096,
        };
        vec![segment]
    };
    let read = open(File::options().read(true));
    let error = Disk::new(read, Access::Writable, identity());
    let error = error.expect_err("can't be written").to_string();
    assert!(error.contains("Writable disk"), "{error}");
    let write = open(File::options().write(true));
    assert!(Disk::new(write, Access::ReadOnly, identity()).is_err());
    let read = open(File::options().read(true));
    assert!(Disk::new(read, Access::ReadOnly, identity()).is_ok());
    for name in ["", "has space", "longer-than-twenty-bytes", "ümlaut"] {
        assert!(Identity::new(name).is_err(), "{name}");
    }
}
