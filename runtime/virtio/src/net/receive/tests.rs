//! Frames from a socket into a driver's buffers: merged, too long, too early, and from hostile rings.

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::test_driver::{
    NEXT, Piece, WRITE, into,
    link::{ActiveLane, Link},
    memory, out,
};

const DATA: u64 = 0x10_0000;
const LONGEST: usize = HEADER_BYTES + 18 + 1500;

struct Desk {
    memory: GuestRam,
    link: Link,
    lane: ActiveLane,
    receiver: Receiver,
    next: u64,
}

impl Desk {
    fn new(size: u16, mergeable: bool) -> Self {
        Self::with_longest(size, mergeable, LONGEST)
    }

    fn with_longest(size: u16, mergeable: bool, longest: usize) -> Self {
        let memory = memory();
        let (lane, queue) = ActiveLane::new(&memory, 0x1_0000, size);
        Self {
            receiver: Receiver::new(0, &memory, queue, (longest, mergeable)),
            link: Link::new(),
            memory,
            lane,
            next: DATA,
        }
    }

    /// The driver gives buffers of these lengths.
    fn give(&mut self, lengths: &[u32]) {
        for length in lengths {
            self.lane.driver.request(&[into(self.next, *length)]);
            self.next += u64::from(*length);
        }
    }

    fn turn(&mut self) -> Waits {
        let turn = self.receiver.turn(self.link.tap());
        turn.expect("a sound ring")
    }

    fn used(&mut self) -> Vec<(u32, u32)> {
        std::iter::from_fn(|| self.lane.driver.take_used()).collect()
    }

    fn got(&self, start: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.memory.read_slice(&mut bytes, GuestAddress(start));
        read.expect("in memory");
        bytes
    }
}

/// A frame as a tap gives it: the header's count is not the tap's.
fn frame(length: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..length)
        .map(|at| u8::try_from(at % 251).expect("below 251"))
        .collect();
    frame[..HEADER_BYTES].fill(0xee);
    frame
}

/// The same as the driver sees it.
fn counted(length: usize, buffers: u16) -> Vec<u8> {
    let mut frame = frame(length);
    frame[BUFFER_COUNT..HEADER_BYTES].copy_from_slice(&buffers.to_le_bytes());
    frame
}

fn check(mergeable: bool, buffers: &[u32], length: usize, expect: &[(u32, u32)]) {
    let mut desk = Desk::new(16, mergeable);
    desk.give(buffers);
    desk.link.send(&frame(length));
    desk.turn();
    assert_eq!(desk.used(), expect, "{buffers:?} for {length}");
    assert_eq!(desk.lane.interrupts.count(), u32::from(!expect.is_empty()));
    if let Ok(count @ 1..) = u16::try_from(expect.len()) {
        assert_eq!(desk.got(DATA, length), counted(length, count));
    }
}

#[test]
fn frame_lies_in_as_many_buffers_as_it_needs() {
    check(true, &[1526], 60, &[(0, 60)]);
    check(true, &[1526, 1526], 1526, &[(0, 1526)]);
    check(
        true,
        &[500, 500, 500, 500],
        1100,
        &[(0, 500), (1, 500), (2, 100)],
    );
    check(true, &[12, 12, 2000], 200, &[(0, 12), (1, 12), (2, 176)]);
    check(false, &[1526, 1526], 1526, &[(0, 1526)]);
    check(false, &[2000], 60, &[(0, 60)]);
}

#[test]
fn frame_longer_than_an_unmerged_buffer_is_dropped_and_the_buffer_kept() {
    let mut desk = Desk::new(16, false);
    desk.give(&[200, 200]);
    desk.link.send(&frame(201));
    desk.link.send(&frame(100));
    assert_eq!(desk.turn(), Waits::ForTap);
    assert_eq!(desk.used(), [(0, 100)]);
    assert_eq!(desk.got(DATA, 100), counted(100, 1));
}

#[test]
fn frame_longer_than_agreed_or_without_header_is_dropped() {
    let mut desk = Desk::new(16, true);
    desk.give(&[4000, 4000]);
    for length in [LONGEST + 1, LONGEST + 500, 11, 0, LONGEST] {
        desk.link.send(&frame(length.max(HEADER_BYTES))[..length]);
    }
    assert_eq!(desk.turn(), Waits::ForTap);
    let longest = u32::try_from(LONGEST).expect("small");
    assert_eq!(desk.used(), [(0, longest)]);
}

#[test]
fn frames_without_buffers_wait_in_the_tap() {
    let mut desk = Desk::new(16, true);
    desk.link.send(&frame(60));
    assert_eq!(desk.turn(), Waits::ForGuest);
    // It asks for a notification of the first buffer.
    assert_eq!(desk.lane.driver.avail_event(), 0);
    desk.give(&[1526]);
    assert_eq!(desk.turn(), Waits::ForGuest, "the one buffer is used up");
    assert_eq!(desk.used(), [(0, 60)]);
    assert_eq!(desk.lane.driver.avail_event(), 1);
    desk.give(&[1526]);
    assert_eq!(desk.turn(), Waits::ForTap);
    assert_eq!(desk.used(), []);
}

#[test]
fn frame_that_needs_more_buffers_than_there_are_gets_them_later() {
    let mut desk = Desk::new(16, true);
    desk.give(&[500]);
    desk.link.send(&frame(1400));
    desk.link.send(&frame(60));
    assert_eq!(desk.turn(), Waits::ForGuest);
    assert_eq!(desk.used(), []);
    desk.give(&[500]);
    assert_eq!(desk.turn(), Waits::ForGuest);
    assert_eq!(desk.used(), [], "still too few");
    desk.give(&[500, 500]);
    assert_eq!(desk.turn(), Waits::ForGuest);
    assert_eq!(desk.used(), [(0, 500), (1, 500), (2, 400), (3, 60)]);
    assert_eq!(desk.got(DATA, 1400), counted(1400, 3));
    assert_eq!(desk.got(DATA + 1500, 60), counted(60, 1));
}

#[test]
fn frame_for_which_the_whole_ring_is_too_small_is_dropped() {
    let mut desk = Desk::new(2, true);
    desk.give(&[500, 500]);
    desk.link.send(&frame(1400));
    desk.link.send(&frame(700));
    assert_eq!(desk.turn(), Waits::ForGuest);
    assert_eq!(desk.used(), [(0, 500), (1, 200)]);
}

#[test]
fn longest_segment_fits_buffers_of_a_page() {
    let longest = HEADER_BYTES + 18 + 0xffff;
    let mut desk = Desk::with_longest(32, true, longest);
    desk.give(&[4096; 20]);
    desk.link.send(&frame(longest));
    desk.link.send(&frame(5000));
    assert_eq!(desk.turn(), Waits::ForTap);
    let used = desk.used();
    assert_eq!(used.len(), 19);
    assert_eq!(desk.got(DATA, longest), counted(longest, 17));
    assert_eq!(used[17..], [(17, 4096), (18, 904)]);
}

#[test]
fn buffers_of_no_use_are_given_back() {
    let mut desk = Desk::new(16, true);
    desk.lane.driver.request(&[out(DATA, 100)]);
    desk.give(&[11, 1526]);
    desk.link.send(&frame(60));
    assert_eq!(desk.turn(), Waits::ForGuest);
    assert_eq!(desk.used(), [(0, 0), (1, 0), (2, 60)]);
}

#[test]
fn frames_beyond_a_turn_s_share_wait_for_the_next() {
    let mut desk = Desk::new(256, true);
    desk.give(&[1526; 150]);
    let mut sent = 0_usize;
    let mut got = 0;
    // The socket does not hold them all at once.
    while got < 150 {
        while sent < 150 && sent - got < 8 {
            desk.link.send(&frame(60));
            sent += 1;
        }
        desk.turn();
        got += desk.used().len();
    }
    assert_eq!(desk.turn(), Waits::ForGuest);
    // One interrupt for each turn at most.
    assert!(
        desk.lane.interrupts.count() <= 1,
        "used_event was passed once"
    );
}

#[test]
fn frames_in_a_burst_interrupt_once() {
    let mut desk = Desk::new(16, true);
    desk.give(&[1526; 8]);
    for _ in 0..6 {
        desk.link.send(&frame(60));
    }
    desk.turn();
    assert_eq!(desk.used().len(), 6);
    assert_eq!(desk.lane.interrupts.count(), 1);
    // The driver wants to hear of the eighth only.
    desk.lane.driver.set_used_event(7);
    desk.link.send(&frame(60));
    desk.turn();
    assert_eq!(desk.lane.interrupts.count(), 1);
    desk.link.send(&frame(60));
    desk.turn();
    assert_eq!(desk.lane.interrupts.count(), 2);
}

#[test]
fn buffer_in_many_pieces_is_one_buffer() {
    let mut desk = Desk::new(256, true);
    let pieces: Vec<Piece> = (0..200).map(|at| into(DATA + at * 7, 7)).collect();
    for table in 0..8_u64 {
        let table = 0x2_0000 + table * 0x1000;
        desk.lane.driver.request_indirect(table, &pieces);
    }
    desk.link.send(&frame(1400));
    assert_eq!(desk.turn(), Waits::ForTap);
    assert_eq!(desk.used(), [(0, 1400)]);
    assert_eq!(desk.got(DATA, 1400), counted(1400, 1));
}

#[test]
fn hostile_rings_break_the_device_and_nothing_else() {
    // A loop, a descriptor past the table, one past memory, readable behind writable, an index far ahead.
    let loops = |desk: &mut Desk| desk.lane.driver.descriptor(0, (DATA, 16), NEXT | WRITE, 0);
    let past = |desk: &mut Desk| desk.lane.driver.descriptor(0, (DATA, 16), NEXT | WRITE, 99);
    let outside = |desk: &mut Desk| desk.lane.driver.descriptor(0, (u64::MAX, 16), WRITE, 0);
    let order = |desk: &mut Desk| {
        desk.lane.driver.descriptor(0, (DATA, 16), NEXT | WRITE, 1);
        desk.lane.driver.descriptor(1, (DATA, 16), 0, 0);
    };
    let shapes: [fn(&mut Desk); 4] = [loops, past, outside, order];
    for shape in shapes {
        let mut desk = Desk::new(16, true);
        shape(&mut desk);
        desk.lane.driver.offer(0);
        desk.link.send(&frame(60));
        let error = desk.receiver.turn(desk.link.tap()).expect_err("broken");
        assert!(
            matches!(error, BackendError::Queue { queue: 0, .. }),
            "{error}"
        );
    }
    let mut desk = Desk::new(16, true);
    desk.lane.driver.set_available_index(17);
    desk.receiver.turn(desk.link.tap()).expect_err("broken");
}

#[test]
fn tap_that_is_gone_gives_nothing_and_breaks_nothing() {
    let mut desk = Desk::new(16, true);
    desk.give(&[1526]);
    let (nothing, wrong_end) = rustix::pipe::pipe().expect("make a pipe");
    let turn = desk.receiver.turn(wrong_end.as_fd());
    assert_eq!(turn.expect("a sound ring"), Waits::ForTap);
    drop(nothing);
}

/// What a frame is, by its number: length, and the first byte behind the header.
fn numbered(number: u8, length: usize) -> Vec<u8> {
    let mut frame = frame(length);
    frame[HEADER_BYTES] = number;
    frame
}

proptest! {
    /// Whatever buffers come when: each frame that the driver sees is whole and counted, in order; nothing is left in between.
    #[test]
    fn frames_seen_are_whole_and_in_order(
        steps in prop::collection::vec((prop::collection::vec(12_u32..900, 0..6), 13_usize..1530), 1..24),
        mergeable: bool,
    ) {
        let mut desk = Desk::new(16, mergeable);
        let mut given: std::collections::VecDeque<(u64, u32)> = std::collections::VecDeque::new();
        let mut last = None;
        for (number, (buffers, length)) in (0_u8..).zip(steps) {
            for length in buffers.into_iter().take(16 - given.len()) {
                given.push_back((desk.next, length));
                desk.give(&[length]);
            }
            // A full link loses frames.
            rustix::net::send(desk.link.host(), &numbered(number, length), rustix::net::SendFlags::empty()).ok();
            desk.turn();
            let mut used: std::collections::VecDeque<_> = desk.used().into();
            while let Some((_, first)) = used.pop_front() {
                let (place, room) = given.pop_front().expect("it was given");
                prop_assert!(first <= room);
                let count = desk.got(place + 10, 2);
                let count = u16::from_le_bytes([count[0], count[1]]);
                let mut seen = desk.got(place, usize::try_from(first).expect("short"));
                for _ in 1..count {
                    prop_assert_eq!(seen.len(), usize::try_from(room).expect("short").max(seen.len()));
                    let (_, length) = used.pop_front().expect("all at once");
                    let (place, _) = given.pop_front().expect("it was given");
                    seen.extend(desk.got(place, usize::try_from(length).expect("short")));
                }
                let number = seen[HEADER_BYTES];
                prop_assert!(last < Some(number));
                last = Some(number);
                let mut expect = numbered(number, seen.len());
                expect[BUFFER_COUNT..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
                prop_assert_eq!(seen, expect);
            }
        }
    }
}
