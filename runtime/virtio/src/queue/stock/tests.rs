//! Frames from a pipe, which like a tap gives what there is.

use std::os::fd::{AsFd, OwnedFd};

use machine::memory::GuestRam;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::{
    queue::Ring,
    test_driver::{Counter, DriverRing, into, memory},
};

const DATA: u64 = 0x10_0000;
const LONGEST: usize = 100;

struct Desk {
    memory: GuestRam,
    driver: DriverRing,
    ring: Ring,
    stock: Stock,
    frames: OwnedFd,
    sender: OwnedFd,
}

/// A stock of requests of these lengths, one behind the other in memory.
fn desk(lengths: &[u32]) -> Desk {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 16);
    let (_counter, notifier) = Counter::notifier();
    let ring = Ring::over(0, memory.clone(), driver.queue(true), notifier);
    let mut address = DATA;
    for length in lengths {
        driver.request(&[into(address, *length)]);
        address += u64::from(*length);
    }
    let (frames, sender) = rustix::pipe::pipe().expect("make a pipe");
    let stock = Stock::new(memory.clone(), 16, LONGEST);
    let mut desk = Desk {
        memory,
        driver,
        ring,
        stock,
        frames,
        sender,
    };
    desk.fetch();
    desk
}

impl Desk {
    fn fetch(&mut self) {
        let mut chain = self.ring.chain();
        while self.ring.pop(&mut chain).expect("a sound ring") {
            self.stock.add(&chain);
        }
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        let written = rustix::io::write(&self.sender, bytes);
        assert_eq!(written, Ok(bytes.len()));
        self.stock.read_frame(self.frames.as_fd()).expect("read")
    }

    fn got(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.memory.read_slice(&mut bytes, GuestAddress(DATA));
        read.expect("in memory");
        bytes
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at % 251 + 1).expect("below 252"))
        .collect()
}

fn check_take(lengths: &[u32], frame: usize, expect: &[(u16, u32)]) {
    let mut desk = desk(lengths);
    assert_eq!(desk.send(&bytes(frame)), frame);
    assert_eq!(desk.stock.settle(frame), Ok(true));
    assert_eq!(desk.got(frame), bytes(frame));
    assert_eq!(desk.stock.chains_for(frame), expect.len());
    let before = (desk.stock.chains(), desk.stock.len());
    let mut used = Vec::new();
    desk.stock.take(frame, &mut used);
    let shares: Vec<(u16, u32)> = used.iter().map(|used| (used.head, used.written)).collect();
    assert_eq!(shares, expect);
    let taken: u32 = lengths[..expect.len()].iter().sum();
    let taken = usize::try_from(taken).expect("small");
    let left = (before.0 - expect.len(), before.1 - taken);
    assert_eq!((desk.stock.chains(), desk.stock.len()), left);
}

#[test]
fn frame_takes_the_requests_it_lies_in() {
    check_take(&[60, 60], 14, &[(0, 14)]);
    check_take(&[60, 60], 60, &[(0, 60)]);
    check_take(&[20, 20, 20, 60], 50, &[(0, 20), (1, 20), (2, 10)]);
}

#[test]
fn second_frame_lies_behind_what_the_first_took() {
    let mut desk = desk(&[20, 20, 20]);
    let mut used = Vec::new();
    desk.send(&bytes(25));
    desk.stock.take(25, &mut used);
    desk.send(&[9; 20]);
    desk.stock.take(20, &mut used);
    assert_eq!(desk.got(60)[40..], [9; 20]);
    assert_eq!(
        used.last(),
        Some(&Used {
            head: 2,
            written: 20
        })
    );
    assert_eq!((desk.stock.chains(), desk.stock.len()), (0, 0));
}

#[test]
fn frame_longer_than_the_stock_waits_for_more() {
    let mut desk = desk(&[30]);
    assert_eq!(desk.send(&bytes(90)), 90);
    assert_eq!(desk.stock.settle(90), Ok(false));
    for at in 1..3 {
        desk.driver.request(&[into(DATA + at * 30, 30)]);
    }
    desk.fetch();
    assert_eq!(desk.stock.settle(90), Ok(true));
    assert_eq!(desk.got(90), bytes(90));
    // What was brought once stays as it is.
    desk.stock.copy_from(40, &[0xff]).expect("inside");
    assert_eq!(desk.stock.settle(90), Ok(true));
    assert_eq!(desk.got(90)[40], 0xff);
}

#[test]
fn frame_longer_than_the_longest_shows_by_its_length() {
    let mut desk = desk(&[30]);
    assert_eq!(desk.send(&bytes(120)), LONGEST + 1);
    let mut large = super::tests::desk(&[200]);
    assert_eq!(large.send(&bytes(120)), 120);
}

#[test]
fn stock_of_tiny_pieces_takes_no_more_than_a_system_call_does() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 256);
    let (_counter, notifier) = Counter::notifier();
    let mut ring = Ring::over(0, memory.clone(), driver.queue(true), notifier);
    let pieces: Vec<_> = (0..200).map(|at| into(DATA + at, 1)).collect();
    for table in 0..10 {
        driver.request_indirect(0x2_0000 + table * 0x1000, &pieces);
    }
    let mut stock = Stock::new(memory, 256, 65_565);
    let mut chain = ring.chain();
    while stock.takes_more() && ring.pop(&mut chain).expect("a sound ring") {
        stock.add(&chain);
    }
    assert_eq!(stock.chains(), 3);
    let (frames, sender) = rustix::pipe::pipe().expect("make a pipe");
    assert_eq!(rustix::io::write(&sender, &bytes(700)), Ok(700));
    assert_eq!(stock.read_frame(frames.as_fd()).expect("read"), 700);
}
