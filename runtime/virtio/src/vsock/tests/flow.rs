//! Tests of amounts: many bytes, many connections, and the stalls in between. Each of them ends only if nobody waits for
//! somebody who waits for him.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

use super::{
    guest::{Guest, from_guest, read},
    peer::{Peer, dispatch},
};
use crate::vsock::packet::{Op, Ports, Sides};

const MIB: usize = 1024 * 1024;

/// Bytes that differ by place and stream.
fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let next = |_at| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// Both ends of one stream and what still has to pass between them.
#[derive(Debug)]
struct Stream {
    client: UnixStream,
    to_guest: Vec<u8>,
    to_client: Vec<u8>,
    guest_got: Vec<u8>,
    client_got: Vec<u8>,
    written: usize,
    sent: usize,
}

impl Stream {
    fn new(client: UnixStream, to_guest: Vec<u8>, to_client: Vec<u8>) -> Self {
        Self {
            client,
            to_guest,
            to_client,
            guest_got: Vec::new(),
            client_got: Vec::new(),
            written: 0,
            sent: 0,
        }
    }

    /// The client writes and reads up to so much.
    fn client_step(&mut self, most: usize) {
        let end = self.to_guest.len().min(self.written + most);
        match self.client.write(&self.to_guest[self.written..end]) {
            Ok(count) => self.written += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let mut bytes = vec![0; most];
        match self.client.read(&mut bytes) {
            Ok(count) => self.client_got.extend(&bytes[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    /// The program in the guest does.
    fn guest_step(&mut self, guest: &mut Guest, peer: &mut Peer, most: usize) {
        let (bytes, update) = peer.read(most);
        self.guest_got.extend(bytes);
        if let Some(update) = update {
            guest.send(update, &[]);
        }
        let end = self.to_client.len().min(self.sent + most);
        if let Some((header, count)) = peer.write(&self.to_client[self.sent..end]) {
            guest.send(header, &self.to_client[self.sent..self.sent + count]);
            self.sent += count;
        }
    }

    fn is_done(&self) -> bool {
        self.guest_got.len() == self.to_guest.len() && self.client_got.len() == self.to_client.len()
    }
}

/// Runs until every stream is done; each round moves up to so much at each end.
fn exchange(guest: &mut Guest, streams: &mut HashMap<u32, (Stream, Peer)>, most: usize) {
    for _round in 0..100_000 {
        if streams.values().all(|(stream, _peer)| stream.is_done()) {
            for (stream, _peer) in streams.values() {
                assert!(stream.guest_got == stream.to_guest, "bytes to the guest");
                assert!(stream.client_got == stream.to_client, "bytes to the client");
            }
            return;
        }
        for (stream, peer) in streams.values_mut() {
            stream.client_step(most);
            stream.guest_step(guest, peer, most);
            // At most 32 packets fit the test guest's memory at a time.
            guest.settle();
            guest.sent();
        }
        while let Some(got) = guest.next() {
            guest.post(1, 3776);
            let (_stream, peer) = streams
                .get_mut(&got.header.src_port)
                .expect("a known stream");
            if let Some(answer) = peer.take(&got) {
                guest.send(answer, &[]);
                guest.settle();
            }
        }
        guest.settle();
    }
    panic!("the streams stand still: {:?}", guest.backend);
}

fn check(connections: u32, bytes: usize, buf_alloc: u32, most: usize) {
    let mut guest = Guest::new();
    guest.post(100, 3776);
    let mut streams = HashMap::new();
    for number in 0..connections {
        let (client, ports) = guest.connect(1000 + number);
        guest.post(1, 3776);
        let stream = Stream::new(client, pattern(number, bytes), pattern(!number, bytes));
        let mut peer = Peer::new(ports, buf_alloc);
        // Tells the host about a buffer that is not the one of the RESPONSE.
        guest.send(peer.header(Op::CreditUpdate), &[]);
        guest.settle();
        streams.insert(ports.host, (stream, peer));
    }
    exchange(&mut guest, &mut streams, most);
    guest.sent();
    assert!(!guest.is_woken(), "idle when done");
}

#[test]
fn stream_of_4_mib_each_way_arrives_intact() {
    check(1, 4 * MIB, 256 * 1024, 64 * 1024);
}

#[test]
fn stream_to_a_guest_with_tiny_buffers_arrives_intact() {
    check(1, 20_000, 128, 64 * 1024);
    check(1, 200_000, 4096, 1000);
}

#[test]
fn streams_100_of_1_mib_each_way_arrive_intact() {
    check(100, MIB, 256 * 1024, 64 * 1024);
}

#[test]
fn streams_many_in_odd_steps_arrive_intact() {
    check(7, 300_001, 65_536, 7919);
}

/// libkrun #772: a sender that stops at 240 KiB because the room it made was never announced.
#[test]
fn guest_that_sends_past_240_kib_hears_of_room_in_time() {
    let mut guest = Guest::ready();
    let (client, ports) = guest.connect(9);
    let mut peer = Peer::new(ports, 256 * 1024);
    let data = pattern(1, 2 * MIB);
    let mut stream = Stream::new(client, Vec::new(), data);
    let mut peers = HashMap::new();
    for _round in 0..10_000 {
        // Sends all that credit allows before the client reads a byte.
        stream.guest_step(&mut guest, &mut peer, 65536);
        guest.settle();
        guest.sent();
        peers.insert(ports.host, peer);
        dispatch(&mut guest, &mut peers);
        peer = peers.remove(&ports.host).expect("the only one");
        guest.settle();
        if !peer.has_room() || stream.sent == stream.to_client.len() {
            stream.client_step(240 * 1024);
            guest.settle();
        }
        if stream.is_done() {
            assert!(stream.client_got == stream.to_client);
            return;
        }
    }
    panic!("stands still at {} bytes", stream.client_got.len());
}

/// The same the other way: the client is far ahead of the guest.
#[test]
fn client_that_sends_past_240_kib_is_only_held_up_by_the_guest() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    let mut peers = HashMap::from([(ports.host, Peer::new(ports, 256 * 1024))]);
    let data = pattern(2, 2 * MIB);
    let (mut written, mut got) = (0, Vec::new());
    while got.len() < data.len() {
        loop {
            let wrote = client.write(&data[written..]).unwrap_or(0);
            written += wrote;
            guest.settle();
            let got = dispatch(&mut guest, &mut peers);
            guest.settle();
            guest.sent();
            if wrote + got == 0 {
                break;
            }
        }
        let peer = peers.get_mut(&ports.host).expect("the only one");
        assert!(
            !peer.unread.is_empty(),
            "stands still at {} bytes",
            got.len()
        );
        // Everything that credit allows is there, all but a sliver.
        let left = data.len() - got.len();
        assert!(peer.unread.len() >= left.min(256 * 1024 - 4096));
        let (bytes, update) = peer.read(usize::MAX);
        got.extend(bytes);
        guest.send(update.expect("all of it was read"), &[]);
        guest.settle();
    }
    assert!(got == data);
}

#[test]
fn guest_that_asks_for_credit_is_told() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    guest.send(from_guest(ports, Op::Data), &[1; 1000]);
    guest.settle();
    guest.expect_nothing();
    guest.send(from_guest(ports, Op::CreditRequest), &[]);
    guest.settle();
    let update = guest.expect(Op::CreditUpdate).header;
    assert_eq!((update.fwd_cnt, update.buf_alloc), (1000, 256 * 1024));
    assert_eq!(read(&mut client, 1000), [1; 1000]);
    guest.expect_nothing();
}

#[test]
fn client_out_of_credit_makes_us_ask_once() {
    let mut guest = Guest::ready();
    let (mut client, ports) = guest.connect(9);
    let small = |op| crate::vsock::packet::Header {
        buf_alloc: 1000,
        ..from_guest(ports, op)
    };
    guest.send(small(Op::CreditUpdate), &[]);
    client.write_all(&[1; 5000]).expect("write");
    guest.settle();
    assert_eq!(guest.expect(Op::Data).payload.len(), 1000);
    guest.expect(Op::CreditRequest);
    guest.expect_nothing();
    // An answer without news is no reason to ask again.
    guest.send(small(Op::CreditUpdate), &[]);
    guest.settle();
    client.write_all(&[1; 10]).expect("write");
    guest.settle();
    guest.expect_nothing();
    assert!(!guest.is_woken());
}

#[test]
fn turns_are_shared_between_connections() {
    let mut guest = Guest::ready();
    let (mut greedy, greedy_ports) = guest.connect(1);
    let (mut modest, modest_ports) = guest.connect(2);
    while guest.next().is_some() {}
    greedy
        .write_all(&[1; 150_000])
        .expect("its socket takes that much");
    modest.write_all(&[2; 100]).expect("write");
    guest.post(60, 3776);
    guest.settle();
    let mut before = 0;
    loop {
        let got = guest.next().expect("the modest one's packet comes");
        if got.header.src_port == modest_ports.host {
            break;
        }
        assert_eq!(got.header.src_port, greedy_ports.host);
        before += got.payload.len();
    }
    assert!(before <= 64 * 1024 + 3776, "{before} bytes before its turn");
}

#[test]
fn data_before_a_half_close_arrives_under_back_pressure() {
    let mut guest = Guest::new();
    guest.post(4, 3776);
    let (mut client, ports) = guest.connect(1);
    let data = pattern(3, 150_000);
    let mut written = 0;
    let mut peers = HashMap::from([(ports.host, Peer::new(ports, 32 * 1024))]);
    let update = peers
        .get_mut(&ports.host)
        .expect("it is there")
        .header(Op::CreditUpdate);
    guest.send(update, &[]);
    let mut got = Vec::new();
    for _round in 0..10_000 {
        if written < data.len() {
            written += client.write(&data[written..]).unwrap_or(0);
            if written == data.len() {
                client.shutdown(Shutdown::Write).expect("shut");
            }
        }
        guest.settle();
        dispatch(&mut guest, &mut peers);
        let peer = peers.get_mut(&ports.host).expect("it is there");
        let (bytes, update) = peer.read(5000);
        got.extend(bytes);
        let ended = peer.ended == Sides::SEND.bits() && peer.unread.is_empty();
        if let Some(update) = update {
            guest.send(update, &[]);
        }
        guest.settle();
        guest.sent();
        if ended {
            assert!(got == data);
            return;
        }
    }
    panic!("the end never came");
}

/// A long backlog goes to a client that reads in small bites, and ends with the guest's end.
#[test]
fn backlog_of_a_guest_that_closed_goes_to_the_client_first() {
    let mut guest = Guest::ready();
    let (mut client, ports): (UnixStream, Ports) = guest.connect(1);
    let data = pattern(4, 256 * 1024);
    for part in data.chunks(65536) {
        guest.send(from_guest(ports, Op::Data), part);
    }
    guest.send(super::guest::shutdown(ports, Sides::BOTH), &[]);
    guest.settle();
    guest.expect_nothing();
    let mut got: Vec<u8> = Vec::new();
    let mut bytes = [0; 10_000];
    loop {
        match client.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => got.extend(&bytes[..count]),
            Err(error) => panic!("read: {error}"),
        }
        guest.settle();
    }
    assert!(got == data);
    guest.expect(Op::Reset);
}
