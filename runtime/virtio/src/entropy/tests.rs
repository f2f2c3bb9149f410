//! The entropy device against a driver that asks for much.

use machine::memory::GuestRam;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::*;
use crate::{
    device::ActiveQueue,
    test_driver::{Counter, DriverRing, into, memory, out},
};

const DATA: u64 = 0x10_0000;

fn backend(memory: &GuestRam, driver: &DriverRing) -> (Box<dyn Backend>, std::sync::Arc<Counter>) {
    let (counter, notifier) = Counter::notifier();
    let active = ActiveQueue {
        queue: driver.queue(false),
        kick: Kick(EventFd::new(EFD_NONBLOCK).expect("make an eventfd")),
        notifier: notifier.clone(),
    };
    let activation = Activation {
        memory: memory.clone(),
        features: 0,
        queues: vec![Some(active)],
        config_changed: notifier,
    };
    let backend = Entropy.activate(activation).expect("its queue is there");
    (backend, counter)
}

fn check(asked: u32, expected: u32) {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 16);
    let (mut backend, interrupts) = backend(&memory, &driver);
    let head = driver.request(&[into(DATA, asked)]);
    backend.run().expect("an honest driver");
    assert_eq!(driver.take_used(), Some((u32::from(head), expected)));
    assert_eq!(interrupts.count(), 1);
    let mut bytes = vec![0; 0x20_0000];
    let read = memory.read_slice(&mut bytes, GuestAddress(DATA));
    read.expect("in memory");
    let (filled, rest) = bytes.split_at(usize::try_from(expected).expect("below 4 GiB"));
    assert!(rest.iter().all(|byte| *byte == 0));
    let zeroes = filled.iter().filter(|byte| **byte == 0).count();
    // One in 256 is expected. A few bytes may well be zero; half of many can't be.
    assert!(
        filled.len() < 64 || zeroes < filled.len() / 2,
        "{zeroes} zeroes"
    );
}

#[test]
fn entropy_asked_for_some_bytes_gives_them() {
    check(1, 1);
    check(64, 64);
    check(4096, 4096);
    check(65536, 65536);
}

#[test]
fn entropy_asked_for_more_than_the_cap_gives_the_cap() {
    check(65537, 65536);
    check(0x10_0000, 65536);
}

#[test]
fn entropy_with_nothing_to_write_gives_nothing() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 16);
    let (mut backend, _interrupts) = backend(&memory, &driver);
    driver.request(&[out(DATA, 64)]);
    backend.run().expect("odd, but no broken ring");
    assert_eq!(driver.take_used(), Some((0, 0)));
}

#[test]
fn entropy_with_many_requests_takes_turns() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 16);
    let (mut backend, interrupts) = backend(&memory, &driver);
    for _ in 0..16 {
        driver.request(&[into(DATA, 65536)]);
    }
    let mut served = Vec::new();
    while served.iter().sum::<usize>() < 16 {
        backend.run().expect("an honest driver");
        served.push(std::iter::from_fn(|| driver.take_used()).count());
        let ready = rustix::event::PollFlags::IN;
        let mut poll = [rustix::event::PollFd::from_borrowed_fd(
            backend.wake(),
            ready,
        )];
        let now = rustix::event::Timespec::default();
        let woken = rustix::event::poll(&mut poll, Some(&now)).expect("poll");
        assert!(
            woken == 1 || served.iter().sum::<usize>() == 16,
            "forgets the rest"
        );
    }
    assert_eq!(served, [4, 4, 4, 4]);
    assert_eq!(interrupts.count(), 4);
}

#[test]
fn entropy_with_a_broken_ring_ends() {
    let memory = memory();
    let mut driver = DriverRing::new(&memory, 0x1_0000, 16);
    let (mut backend, _interrupts) = backend(&memory, &driver);
    driver.request(&[into(u64::MAX - 64, 64)]);
    assert!(backend.run().is_err());
}

#[test]
fn entropy_without_its_queue_is_not_made() {
    let (_counter, notifier) = Counter::notifier();
    let activation = Activation {
        memory: memory(),
        features: 0,
        queues: vec![None],
        config_changed: notifier,
    };
    let error = Entropy.activate(activation).expect_err("no queue");
    assert!(matches!(error, ActivateError::QueueMissing { index: 0 }));
}
