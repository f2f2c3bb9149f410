//! Tests of the whole device over real queues and sockets: how streams begin, flow and end. `flow` has the amounts, `model` the
//! random orders.

mod flow;
pub(super) mod guest;
mod model;
pub(super) mod peer;

use std::{
    io::Write,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
};

use super::*;
use guest::{Cut, Guest, expect_end, expect_open, from_guest, read, shutdown};
use packet::{Op, Ports, Sides};

fn listener() -> OwnedFd {
    let folder = tempfile::tempdir().expect("make a folder");
    let listener = UnixListener::bind(folder.path().join("s"));
    listener.expect("listen").into()
}

#[test]
fn device_says_its_context_id_and_features() {
    let device = Socket::new(0x0102_0304, listener()).expect("make the device");
    let mut config = [0xff; 12];
    config.fill(0);
    device.config_read(0, &mut config);
    assert_eq!(config, [4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut byte = [0];
    device.config_read(2, &mut byte);
    assert_eq!(byte, [2]);
    device.config_read(u64::MAX, &mut byte);
    assert_eq!((device.id(), device.features()), (DeviceId::Socket, 1));
    assert_eq!(device.queue_sizes(), [128, 128, 8]);
}

#[test]
fn device_with_a_reserved_context_id_is_refused() {
    for cid in [0, 1, 2, u32::MAX] {
        let refused = Socket::new(cid, listener()).expect_err("no guest's id");
        assert!(matches!(refused, SocketError::ContextId { .. }), "{cid}");
    }
}

#[test]
fn device_on_a_socket_that_does_not_listen_is_refused() {
    let (one, _other) = UnixStream::pair().expect("a socket pair");
    let refused = Socket::new(3, one.into()).expect_err("not listening");
    assert!(matches!(refused, SocketError::Listener(_)));
}

#[test]
fn client_connects_and_bytes_flow_both_ways() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(1024);
    client.write_all(b"hello, guest").expect("write");
    guest.settle();
    let got = guest.expect(Op::Data);
    assert_eq!(got.payload, b"hello, guest");
    assert_eq!(
        (got.header.src_port, got.header.dst_port),
        (ports.host, 1024)
    );
    assert_eq!(got.header.buf_alloc, 256 * 1024);
    guest.send(from_guest(ports, Op::Data), b"hello, host");
    guest.settle();
    assert_eq!(read(&mut client, 11), b"hello, host");
    guest.expect_nothing();
}

#[test]
fn client_that_writes_behind_its_greeting_loses_nothing() {
    let mut guest = Guest::ready();
    let mut client = guest.client();
    client.write_all(b"CONNECT 5\nearly").expect("write");
    guest.settle();
    let request = guest.expect(Op::Request);
    guest.expect_nothing();
    let ports = Ports {
        host: request.header.src_port,
        guest: 5,
    };
    guest.send(from_guest(ports, Op::Response), &[]);
    guest.settle();
    assert_eq!(guest.expect(Op::Data).payload, b"early");
}

#[test]
fn client_that_the_guest_refuses_sees_the_end_without_ok() {
    let mut guest = Guest::ready();
    let mut client = guest.client();
    client.write_all(b"CONNECT 5\n").expect("write");
    guest.settle();
    let request = guest.expect(Op::Request);
    let ports = Ports {
        host: request.header.src_port,
        guest: 5,
    };
    guest.send(from_guest(ports, Op::Reset), &[]);
    guest.settle();
    expect_end(&mut client);
    guest.expect_nothing();
}

#[test]
fn client_with_garbage_is_closed_and_the_guest_hears_nothing() {
    let mut guest = Guest::ready();
    let mut client = guest.client();
    client.write_all(b"GET / HTTP/1.1\r\n").expect("write");
    guest.settle();
    expect_end(&mut client);
    guest.expect_nothing();
}

#[test]
fn client_that_vanishes_before_its_greeting_leaves_nothing() {
    let mut guest = Guest::ready();
    drop(guest.client());
    let client = guest.client();
    guest.settle();
    drop(client);
    guest.settle();
    guest.expect_nothing();
    assert_eq!(guest.connect(7).1.guest, 7);
}

#[test]
fn client_that_vanishes_before_ok_is_reset_in_the_guest() {
    let mut guest = Guest::ready();
    let mut client = guest.client();
    client.write_all(b"CONNECT 5\n").expect("write");
    guest.settle();
    let request = guest.expect(Op::Request);
    drop(client);
    let ports = Ports {
        host: request.header.src_port,
        guest: 5,
    };
    guest.send(from_guest(ports, Op::Response), &[]);
    guest.settle();
    guest.expect(Op::Reset);
    guest.expect_nothing();
}

#[test]
fn client_that_vanishes_while_nothing_was_asked_is_forgotten() {
    let mut guest = Guest::new();
    let mut client = guest.client();
    client.write_all(b"CONNECT 5\n").expect("write");
    guest.settle();
    drop(client);
    guest.settle();
    guest.post(4, 4096);
    guest.settle();
    guest.expect_nothing();
}

#[test]
fn half_close_of_the_client_reaches_the_guest_after_the_data() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    client.write_all(b"last words").expect("write");
    client.shutdown(Shutdown::Write).expect("shut");
    guest.settle();
    assert_eq!(guest.expect(Op::Data).payload, b"last words");
    assert_eq!(guest.expect(Op::Shutdown).header.flags, Sides::SEND.bits());
    guest.expect_nothing();
    // The other direction goes on.
    guest.send(from_guest(ports, Op::Data), b"still here");
    guest.settle();
    assert_eq!(read(&mut client, 10), b"still here");
    expect_open(&mut client);
    // Now the guest ends too, in Linux's way: both sides, and a RST is awaited.
    guest.send(shutdown(ports, Sides::BOTH), &[]);
    guest.settle();
    expect_end(&mut client);
    guest.expect(Op::Reset);
    guest.expect_nothing();
}

#[test]
fn half_close_of_the_guest_reaches_the_client_after_the_data() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    guest.send(from_guest(ports, Op::Data), b"that was all");
    guest.send(shutdown(ports, Sides::SEND), &[]);
    guest.settle();
    assert_eq!(read(&mut client, 12), b"that was all");
    expect_end(&mut client);
    guest.expect_nothing();
    client.write_all(b"and mine").expect("write");
    guest.settle();
    assert_eq!(guest.expect(Op::Data).payload, b"and mine");
    drop(client);
    guest.settle();
    assert_eq!(guest.expect(Op::Shutdown).header.flags, Sides::BOTH.bits());
    guest.send(from_guest(ports, Op::Reset), &[]);
    guest.settle();
    guest.expect_nothing();
}

#[test]
fn guest_that_receives_no_more_stops_the_client() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    guest.send(shutdown(ports, Sides::RECEIVE), &[]);
    guest.settle();
    let error = client.write_all(b"anyone?").expect_err("nobody takes it");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(guest.expect(Op::Shutdown).header.flags, Sides::SEND.bits());
    guest.send(from_guest(ports, Op::Data), b"one way");
    guest.settle();
    assert_eq!(read(&mut client, 7), b"one way");
}

#[test]
fn client_that_closes_with_data_unread_by_us_loses_nothing() {
    let mut guest = Guest::new();
    guest.post(1, 4096);
    let (mut client, ports) = {
        guest.post(1, 4096);
        guest.connect(9)
    };
    client.write_all(&[7; 100]).expect("write");
    drop(client);
    guest.post(8, 64);
    guest.settle();
    let mut bytes = 0;
    let mut end = Sides::NONE.bits();
    while let Some(got) = guest.next() {
        bytes += got.payload.len();
        end |= got.header.flags;
        guest.post(1, 64);
        guest.settle();
    }
    assert_eq!((bytes, end), (100, Sides::BOTH.bits()));
    guest.send(from_guest(ports, Op::Reset), &[]);
    guest.settle();
}

#[test]
fn reset_of_the_guest_lets_the_client_have_the_rest() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    // More than the socket takes, so that some of it waits with us.
    for _ in 0..4 {
        guest.send(from_guest(ports, Op::Data), &[5; 65536]);
    }
    guest.send(from_guest(ports, Op::Reset), &[]);
    guest.settle();
    let mut got = 0;
    while got < 4 * 65536 {
        got += read(&mut client, 4096).len();
        guest.settle();
    }
    expect_end(&mut client);
    guest.expect_nothing();
}

#[test]
fn packet_in_any_cut_is_taken() {
    // Firecracker #4284 (one descriptor from 6.1 on) and the cut payloads of 6.17.
    for cut in [Cut::One, Cut::Two, Cut::Every(7), Cut::Every(4096)] {
        let mut guest = Guest::ready();
        guest.cut = cut;
        let (mut client, ports) = guest.connect(9);
        let length = if matches!(cut, Cut::Every(7)) {
            300
        } else {
            65536
        };
        let data: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[1]).collect();
        guest.send(from_guest(ports, Op::Data), &data);
        guest.settle();
        assert_eq!(read(&mut client, data.len()), data, "{cut:?}");
    }
}

#[test]
fn driver_reset_closes_connections_and_the_next_driver_finds_clients() {
    let mut guest = Guest::ready();
    let (mut client, _ports) = guest.connect(9);
    let mut waiting = guest.client();
    waiting.write_all(b"CONNECT 1\n").expect("write");
    let mut guest = guest.restart();
    expect_end(&mut client);
    guest.post(16, 4096);
    guest.settle();
    assert_eq!(guest.expect(Op::Request).header.dst_port, 1);
    guest.connect(2);
}
