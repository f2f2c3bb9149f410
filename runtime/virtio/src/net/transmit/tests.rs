//! Frames from a driver's ring to a socket: whole, dropped, and waiting for room.

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::test_driver::{
    NEXT, Piece, into,
    link::{ActiveLane, Link},
    memory, out,
};

const DATA: u64 = 0x10_0000;
const TABLE: u64 = 0x3_0000;

struct Desk {
    memory: GuestRam,
    link: Link,
    lane: ActiveLane,
    transmitter: Transmitter,
}

impl Desk {
    fn new() -> Self {
        let memory = memory();
        let (lane, queue) = ActiveLane::new(&memory, 0x1_0000, 256);
        Self {
            transmitter: Transmitter::new(1, &memory, queue),
            link: Link::new(),
            memory,
            lane,
        }
    }

    fn put(&self, bytes: &[u8]) {
        let written = self.memory.write_slice(bytes, GuestAddress(DATA));
        written.expect("in memory");
    }

    fn turn(&mut self) -> Waits {
        let turn = self.transmitter.turn(self.link.tap());
        turn.expect("a sound ring")
    }

    fn used(&mut self) -> usize {
        let used = std::iter::from_fn(|| self.lane.driver.take_used());
        used.map(|(_, written)| assert_eq!(written, 0)).count()
    }
}

fn frame(length: u32) -> Vec<u8> {
    let bytes = (0..length).map(|at| u8::try_from(at % 241).expect("below 241"));
    bytes.collect()
}

fn check_sent(pieces: &[Piece], length: u32) {
    let mut desk = Desk::new();
    desk.put(&frame(length));
    desk.lane.driver.request_indirect(TABLE, pieces);
    assert_eq!(desk.turn(), Waits::ForGuest);
    assert_eq!(desk.link.received(), Some(frame(length)));
    assert_eq!((desk.used(), desk.lane.interrupts.count()), (1, 1));
}

#[test]
fn frame_goes_out_whole_however_it_is_cut() {
    check_sent(&[out(DATA, 60)], 60);
    check_sent(&[out(DATA, 12), out(DATA + 12, 14)], 26);
    let pieces: Vec<Piece> = (0..250).map(|at| out(DATA + at * 6, 6)).collect();
    check_sent(&pieces, 1500);
    check_sent(&[out(DATA, 12), out(DATA + 12, 65_553)], 65_565);
}

#[test]
fn chain_that_is_no_frame_is_given_back_unsent() {
    let mut desk = Desk::new();
    desk.put(&frame(65_566));
    for pieces in [
        vec![out(DATA, 25)],
        vec![],
        vec![into(DATA, 1500)],
        vec![out(DATA, 65_566)],
        vec![out(DATA, 60), into(DATA, 60)],
    ] {
        if pieces.is_empty() {
            desk.lane.driver.request(&[out(DATA, 0)]);
        } else {
            desk.lane.driver.request(&pieces);
        }
    }
    assert_eq!(desk.turn(), Waits::ForGuest);
    assert_eq!(desk.used(), 5);
    // What the last one has to read is a frame.
    assert_eq!(desk.link.received(), Some(frame(60)));
    assert_eq!(desk.link.received(), None);
}

#[test]
fn full_tap_keeps_frames_in_the_ring_and_in_order() {
    let mut desk = Desk::new();
    let frames = 60_usize;
    for at in 0..frames {
        let place = DATA + u64::try_from(at).expect("small") * 0x100;
        let mut bytes = frame(60);
        bytes[59] = u8::try_from(at).expect("small");
        let written = desk.memory.write_slice(&bytes, GuestAddress(place));
        written.expect("in memory");
        desk.lane.driver.request(&[out(place, 60)]);
    }
    let mut sent = 0;
    let mut received = Vec::new();
    // Linux holds about ten datagrams (net.unix.max_dgram_qlen).
    while sent < frames {
        let waits = desk.turn();
        let used = desk.used();
        assert!(used > 0 || waits == Waits::ForTap);
        sent += used;
        received.extend(std::iter::from_fn(|| desk.link.received()));
    }
    let last: Vec<usize> = received.iter().map(|frame| frame[59].into()).collect();
    assert_eq!(last, (0..frames).collect::<Vec<_>>());
}

#[test]
fn turn_ends_after_its_share() {
    let mut desk = Desk::new();
    // Nothing of it is sent, so that the socket is never full.
    for _ in 0..150 {
        desk.lane.driver.request(&[out(DATA, 5)]);
    }
    for (expect, waits) in [(64, Waits::No), (64, Waits::No), (22, Waits::ForGuest)] {
        assert_eq!(desk.turn(), waits);
        assert_eq!(desk.used(), expect);
    }
}

#[test]
fn tap_that_is_gone_drops_frames() {
    let mut desk = Desk::new();
    desk.lane.driver.request(&[out(DATA, 60)]);
    let (wrong_end, _end) = rustix::pipe::pipe().expect("make a pipe");
    let turn = desk.transmitter.turn(wrong_end.as_fd());
    assert_eq!(turn.expect("a sound ring"), Waits::ForGuest);
    assert_eq!(desk.used(), 1);
}

#[test]
fn hostile_ring_breaks_the_device() {
    let mut desk = Desk::new();
    desk.lane.driver.descriptor(0, (DATA, 60), NEXT, 0);
    desk.lane.driver.offer(0);
    let error = desk.transmitter.turn(desk.link.tap()).expect_err("a loop");
    assert!(
        matches!(error, BackendError::Queue { queue: 1, .. }),
        "{error}"
    );
}
