//! Rings against an honest driver: order, EVENT_IDX, interrupts. What a hostile one writes is in `chain/tests.rs`.

use super::*;
use crate::test_driver::{Counter, DriverRing, into, memory, out};

fn ring(
    driver: &DriverRing,
    memory: &GuestRam,
    event_idx: bool,
) -> (Ring, std::sync::Arc<Counter>) {
    let (counter, notifier) = Counter::notifier();
    let ring = Ring::over(0, memory.clone(), driver.queue(event_idx), notifier);
    (ring, counter)
}

#[test]
fn ring_with_requests_gives_them_in_order_and_takes_them_back() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, interrupts) = ring(&driver, &memory, false);
    let mut chain = ring.chain();
    assert!(!ring.pop(&mut chain).expect("an empty ring is fine"));
    assert!(!ring.has_request().expect("an empty ring is fine"));
    // Twenty requests through eight entries: indices wrap.
    for turn in 0..20_u32 {
        let head = driver.request(&[out(0x2_0000, 5), into(0x10_0000, 7)]);
        assert!(ring.has_request().expect("one is there"));
        assert!(ring.pop(&mut chain).expect("the ring is sound"));
        assert_eq!(chain.head(), head);
        assert_eq!((chain.readable.len(), chain.writable.len()), (5, 7));
        ring.push(head, turn).expect("the ring is sound");
        ring.signal().expect("the ring is sound");
        assert_eq!(driver.take_used(), Some((u32::from(head), turn)));
    }
    assert_eq!(interrupts.count(), 20);
}

#[test]
fn ring_with_a_request_put_back_gives_it_again() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, _interrupts) = ring(&driver, &memory, true);
    let mut chain = ring.chain();
    let head = driver.request(&[into(0x2_0000, 64)]);
    assert!(ring.pop(&mut chain).expect("the ring is sound"));
    ring.put_back();
    assert!(ring.pop(&mut chain).expect("the ring is sound"));
    assert_eq!(chain.head(), head);
    assert!(!ring.pop(&mut chain).expect("the ring is sound"));
}

#[test]
fn ring_with_event_idx_interrupts_only_past_used_event() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, interrupts) = ring(&driver, &memory, true);
    let mut chain = ring.chain();
    driver.set_used_event(2);
    for expected in [0, 0, 1, 1] {
        driver.request(&[into(0x2_0000, 1)]);
        assert!(ring.pop(&mut chain).expect("the ring is sound"));
        ring.push(chain.head(), 1).expect("the ring is sound");
        ring.signal().expect("the ring is sound");
        assert_eq!(interrupts.count(), expected);
    }
    // A batch that passes the event rings once.
    driver.set_used_event(5);
    for _ in 0..4 {
        driver.request(&[into(0x2_0000, 1)]);
        assert!(ring.pop(&mut chain).expect("the ring is sound"));
        ring.push(chain.head(), 1).expect("the ring is sound");
    }
    ring.signal().expect("the ring is sound");
    ring.signal().expect("the ring is sound");
    assert_eq!(interrupts.count(), 2);
}

#[test]
fn ring_armed_says_what_came_meanwhile_and_asks_for_the_next() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, _interrupts) = ring(&driver, &memory, true);
    let mut chain = ring.chain();
    assert!(!ring.arm().expect("the ring is sound"));
    assert_eq!(driver.avail_event(), 0);
    driver.request(&[into(0x2_0000, 1)]);
    assert!(ring.arm().expect("the ring is sound"));
    assert!(ring.pop(&mut chain).expect("the ring is sound"));
    assert!(!ring.arm().expect("the ring is sound"));
    assert_eq!(driver.avail_event(), 1);
}

#[test]
fn ring_without_event_idx_obeys_the_no_interrupt_flag() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, interrupts) = ring(&driver, &memory, false);
    let mut chain = ring.chain();
    for (flags, expected) in [(1, 0), (0, 1), (1, 1)] {
        driver.set_available_flags(flags);
        driver.request(&[into(0x2_0000, 1)]);
        assert!(ring.pop(&mut chain).expect("the ring is sound"));
        ring.push(chain.head(), 0).expect("the ring is sound");
        ring.signal().expect("the ring is sound");
        assert_eq!(interrupts.count(), expected);
    }
}

#[test]
fn ring_with_nothing_given_back_does_not_interrupt() {
    let memory = memory();
    let driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, interrupts) = ring(&driver, &memory, false);
    ring.signal().expect("the ring is sound");
    assert_eq!(interrupts.count(), 0);
}

#[test]
fn ring_with_an_index_far_ahead_is_broken() {
    let memory = memory();
    let driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, _interrupts) = ring(&driver, &memory, true);
    driver.set_available_index(9);
    let error = ring.pop(&mut ring.chain()).expect_err("nine of eight");
    let BackendError::Queue { queue: 0, source } = error else {
        panic!("another error: {error}");
    };
    assert_eq!(source, Broken::AvailableIndex);
}

#[test]
fn ring_given_back_what_is_no_descriptor_is_broken() {
    let memory = memory();
    let driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, _interrupts) = ring(&driver, &memory, true);
    assert!(ring.push(8, 0).is_err());
}

#[test]
fn requests_pushed_together_are_seen_together_and_interrupt_once() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 4);
    let (mut ring, interrupts) = ring(&driver, &memory, true);
    let mut chain = ring.chain();
    // Three at a time through four entries: they wrap. The driver wants to hear of one in the middle.
    for turn in 0..5_u16 {
        driver.set_used_event(turn * 3 + 1);
        let mut used = Vec::new();
        for written in 0..3 {
            driver.request(&[into(0x2_0000, 4)]);
            assert!(ring.pop(&mut chain).expect("the ring is sound"));
            let head = chain.head();
            used.push(Used { head, written });
        }
        ring.push_together(&used).expect("the ring is sound");
        ring.signal().expect("the ring is sound");
        assert_eq!(interrupts.count(), u32::from(turn) + 1);
        for expect in used {
            let seen = driver.take_used();
            assert_eq!(seen, Some((u32::from(expect.head), expect.written)));
        }
        assert_eq!(driver.take_used(), None);
    }
}

#[test]
fn requests_pushed_together_with_what_is_no_descriptor_are_not_seen() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 8);
    let (mut ring, _interrupts) = ring(&driver, &memory, true);
    for heads in [[0, 8], [8, 0]] {
        let used = heads.map(|head| Used { head, written: 1 });
        ring.push_together(&used).expect_err("eight of eight");
        assert_eq!(driver.take_used(), None);
    }
    ring.push_together(&[]).expect("nothing is fine");
}
