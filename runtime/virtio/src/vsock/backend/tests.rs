//! Tests of when the backend wakes and rings, and of what it does with rings that others left behind.

use std::{io::Write, time::Duration};

use crate::{
    backend::BackendError,
    test_driver::into,
    vsock::{
        packet::{Op, Ports, Sides},
        tests::guest::{Driver, Guest, expect_end, expect_open, from_guest, read, shutdown},
    },
};

const NOBODY: Ports = Ports { host: 1, guest: 2 };

#[test]
fn idle_backend_is_never_woken() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    client.write_all(b"x").expect("write");
    guest.send(from_guest(ports, Op::Data), b"y");
    guest.settle();
    guest.expect(Op::Data);
    assert!(!guest.is_woken_within(Duration::from_millis(300)));
}

/// Firecracker #6031: a client that writes while the guest gives no buffers must not keep the thread busy.
#[test]
fn client_that_writes_to_a_guest_without_buffers_makes_no_spin() {
    let mut guest = Guest::new();
    guest.post(1, 4096);
    let (mut client, _ports) = guest.connect(9);
    client.write_all(&[1; 1000]).expect("write");
    assert!(guest.settle() <= 2);
    client.write_all(&[1; 1000]).expect("write");
    assert!(guest.settle() <= 2);
    drop(client);
    assert!(guest.settle() <= 2);
    assert!(!guest.is_woken_within(Duration::from_millis(100)));
    guest.post(8, 4096);
    guest.settle();
    assert_eq!(guest.expect(Op::Data).payload.len(), 2000);
    guest.expect(Op::Shutdown);
}

/// Firecracker #6077: what waits for a client that has left must not wait for ever.
#[test]
fn client_that_leaves_a_backlog_makes_no_spin() {
    let mut guest = Guest::new();
    guest.post(1, 4096);
    let (client, ports) = guest.connect(9);
    for _ in 0..4 {
        guest.send(from_guest(ports, Op::Data), &[1; 65536]);
    }
    guest.settle();
    drop(client);
    assert!(guest.settle() <= 2);
    assert!(!guest.is_woken_within(Duration::from_millis(100)));
    // Nothing waits any more: a guest that closes too gets its RST at once.
    guest.post(8, 4096);
    guest.send(shutdown(ports, Sides::BOTH), &[]);
    guest.settle();
    let last = std::iter::from_fn(|| guest.next()).last();
    assert_eq!(last.map(|got| got.header.op), Some(Op::Reset as u16));
}

/// Firecracker #5882, #5958: packets from before a restore, whose doorbell rang for another process.
#[test]
fn packets_left_in_the_ring_are_taken_without_a_doorbell() {
    let mut guest = Guest::ready();
    guest.settle();
    guest.send(from_guest(NOBODY, Op::Request), &[]);
    // The old doorbells are silent: only the new backend itself can know.
    for kick in &guest.kicks {
        kick.read().ok();
    }
    guest.restore();
    assert!(guest.is_woken());
    guest.settle();
    guest.expect(Op::Reset);
    assert_eq!(guest.sent(), 1);
    // And the driver is asked for the next doorbell.
    assert_eq!(guest.tx.avail_event(), 1);
}

/// Firecracker #2218, #5969: connections end at a restore, and no new one meets an old one.
#[test]
fn transport_reset_holds_requests_back_until_the_driver_has_seen_it() {
    let mut guest = Guest::ready();
    guest.post_events(8);
    let (mut old, _ports) = guest.connect(9);
    guest.reset.raise().expect("raise");
    let mut early = guest.client();
    early.write_all(b"CONNECT 10\n").expect("greet");
    guest.settle();
    expect_end(&mut old);
    guest.expect_nothing();
    assert_eq!(guest.interrupts[2].count(), 1);
    let used: Vec<(u32, u32)> = std::iter::from_fn(|| guest.event.take_used()).collect();
    let lengths: Vec<u32> = used.iter().map(|(_head, length)| *length).collect();
    assert_eq!(lengths, [4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(guest.event_id(0), 0);
    // Nothing else opens the gate.
    guest.kick(2);
    guest.post(1, 4096);
    guest.settle();
    guest.expect_nothing();
    guest.post_events(1);
    guest.settle();
    assert_eq!(guest.expect(Op::Request).header.dst_port, 10);
}

#[test]
fn transport_reset_without_an_event_buffer_waits_for_one() {
    let mut guest = Guest::ready();
    guest.reset.raise().expect("raise");
    guest.settle();
    let mut early = guest.client();
    early.write_all(b"CONNECT 10\n").expect("greet");
    guest.settle();
    guest.expect_nothing();
    guest.post_events(1);
    guest.settle();
    assert_eq!(
        guest.event.take_used().map(|(_head, length)| length),
        Some(4)
    );
    guest.expect_nothing();
    guest.post_events(1);
    guest.settle();
    guest.expect(Op::Request);
}

#[test]
fn transport_reset_raised_before_the_driver_reaches_it_once() {
    let guest = Guest::new();
    guest.reset.raise().expect("raise");
    let mut guest = guest.restart();
    guest.post_events(2);
    guest.settle();
    assert!(guest.event.take_used().is_some());
    let mut guest = guest.restart();
    guest.post_events(2);
    guest.settle();
    assert!(guest.event.take_used().is_none(), "told to one driver only");
}

/// Firecracker #6074, #6100: a pause without a reset must not shut the gate.
#[test]
fn backend_that_was_merely_left_alone_goes_on() {
    let mut guest = Guest::ready();
    guest.post_events(8);
    let (mut client, ports) = guest.connect(9);
    // Both sides go on while nobody runs the backend.
    for _ in 0..20 {
        guest.send(from_guest(ports, Op::Data), b"while paused");
        client.write_all(b"paused").expect("write");
    }
    guest.settle();
    assert_eq!(read(&mut client, 240).len(), 240);
    assert_eq!(guest.expect(Op::Data).payload.len(), 120);
    expect_open(&mut client);
}

#[test]
fn run_takes_a_bounded_number_of_packets_and_wakes_again() {
    let mut guest = Guest::ready();
    guest.settle();
    for _ in 0..100 {
        guest.send(from_guest(NOBODY, Op::Reset), &[]);
    }
    guest.run().expect("run");
    assert_eq!(guest.sent(), 64);
    assert!(
        guest.is_woken(),
        "by itself: the driver has nothing to ring for"
    );
    guest.run().expect("run");
    assert_eq!(guest.sent(), 36);
    assert!(!guest.is_woken());
}

#[test]
fn receive_doorbells_are_asked_for_only_when_buffers_lack() {
    let mut guest = Guest::ready();
    let (mut client, _ports) = guest.connect(9);
    let asked = guest.rx.avail_event();
    client.write_all(b"enough buffers").expect("write");
    guest.settle();
    assert_eq!(guest.rx.avail_event(), asked);
    let mut guest = Guest::new();
    guest.post(1, 4096);
    let (mut client, _ports) = guest.connect(9);
    client.write_all(b"no buffer").expect("write");
    guest.settle();
    assert_eq!(guest.rx.avail_event(), 1, "the very next one");
    guest.post(1, 4096);
    guest.settle();
    guest.expect(Op::Data);
}

#[test]
fn interrupts_come_once_for_a_batch() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    let before = [guest.interrupts[0].count(), guest.interrupts[1].count()];
    client.write_all(&[1; 20_000]).expect("write");
    for _ in 0..5 {
        guest.send(from_guest(ports, Op::Data), b"a few");
    }
    guest.rx.set_used_event(guest.rx_taken());
    guest.tx.set_used_event(1);
    guest.run().expect("run");
    let after = [guest.interrupts[0].count(), guest.interrupts[1].count()];
    assert!(
        after[0] - before[0] <= 1 && after[1] - before[1] <= 1,
        "{before:?} {after:?}"
    );
    assert!(std::iter::from_fn(|| guest.next()).count() >= 5);
}

#[test]
fn driver_without_event_idx_is_served_too() {
    let mut guest = Guest::with(Driver {
        queue_size: 64,
        event_idx: false,
    });
    guest.post(32, 4096);
    let (mut client, ports) = guest.connect(9);
    client.write_all(b"in").expect("write");
    guest.send(from_guest(ports, Op::Data), b"out");
    guest.settle();
    assert_eq!(guest.expect(Op::Data).payload, b"in");
    assert_eq!(read(&mut client, 3), b"out");
    assert!(guest.interrupts[0].count() > 0);
}

#[test]
fn receive_buffer_too_small_for_a_packet_comes_back_empty() {
    let mut guest = Guest::new();
    guest.rx.request(&[into(0x10_0000, 44)]);
    guest.rx.request(&[into(0x10_0000, 10)]);
    guest.kick(0);
    guest.send(from_guest(NOBODY, Op::Request), &[]);
    guest.settle();
    let used: Vec<u32> = std::iter::from_fn(|| guest.rx.take_used())
        .map(|(_, length)| length)
        .collect();
    assert_eq!(used, [0, 0]);
    guest.post(1, 45);
    guest.settle();
    guest.expect(Op::Reset);
}

#[test]
fn receive_buffers_of_a_byte_each_still_carry_a_stream() {
    let mut guest = Guest::ready();
    let (mut client, _ports) = guest.connect(9);
    while guest.next().is_some() {}
    let mut guest_small = Guest::new();
    guest_small.post(2, 45);
    let (mut small_client, _ports) = guest_small.connect(9);
    client.write_all(b"ab").expect("write");
    small_client.write_all(b"abc").expect("write");
    let mut got = Vec::new();
    for _ in 0..10 {
        guest_small.post(1, 45);
        guest_small.settle();
        if let Some(packet) = guest_small.next() {
            got.extend(packet.payload);
        }
    }
    assert_eq!(got, b"abc");
}

#[test]
fn broken_ring_ends_the_backend_with_its_queue_named() {
    let mut guest = Guest::ready();
    guest.settle();
    guest.tx.set_available_index(1000);
    guest.kick(1);
    let error = guest.run().expect_err("the ring is broken");
    assert!(
        matches!(error, BackendError::Queue { queue: 1, .. }),
        "{error:?}"
    );
}
