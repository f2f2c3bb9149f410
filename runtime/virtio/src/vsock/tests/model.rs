//! Random orders of everything that can happen to streams: writes, reads, ends, runs of the backend, and receive buffers or
//! their lack. Whatever the order, bytes arrive intact and in order, credit is kept (`peer` checks it at each packet), and once
//! both sides are willing everything drains.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

use proptest::prelude::*;

use super::{
    guest::{Guest, shutdown},
    peer::Peer,
};
use crate::vsock::packet::{Op, Sides};

const STREAMS: usize = 3;
/// Packets of the guest that may wait at a time: its memory has room for 32.
const MOST_WAITING: usize = 28;
/// Receive buffers that may be out at a time.
const MOST_BUFFERS: usize = 100;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    ClientWrites(usize, usize),
    ClientReads(usize, usize),
    ClientEnds(usize),
    GuestWrites(usize, usize),
    GuestReads(usize, usize),
    GuestEnds(usize),
    GuestTakesPackets(usize),
    GuestAsksForCredit(usize),
    BuffersCome(u16, u32),
    BackendRuns,
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS;
    let bytes = prop_oneof![1_usize..300, 1_usize..20_000, Just(65_536)];
    let length = prop_oneof![45_u32..200, Just(3776_u32)];
    prop_oneof![
        4 => (stream.clone(), bytes.clone()).prop_map(|(at, count)| Step::ClientWrites(at, count)),
        4 => (stream.clone(), bytes.clone()).prop_map(|(at, count)| Step::ClientReads(at, count)),
        1 => stream.clone().prop_map(Step::ClientEnds),
        4 => (stream.clone(), bytes.clone()).prop_map(|(at, count)| Step::GuestWrites(at, count)),
        4 => (stream.clone(), bytes).prop_map(|(at, count)| Step::GuestReads(at, count)),
        1 => stream.clone().prop_map(Step::GuestEnds),
        4 => (1_usize..40).prop_map(Step::GuestTakesPackets),
        1 => stream.prop_map(Step::GuestAsksForCredit),
        3 => (1_u16..30, length).prop_map(|(count, length)| Step::BuffersCome(count, length)),
        8 => Just(Step::BackendRuns),
    ]
}

/// A stream as the model knows it: counts of bytes, whose values follow from their places.
#[derive(Debug)]
struct Stream {
    client: UnixStream,
    peer: Peer,
    client_wrote: usize,
    client_read: usize,
    client_ended: bool,
    client_saw_end: bool,
    guest_wrote: usize,
    guest_read: usize,
    guest_ended: bool,
}

/// The byte at a place of a stream's direction.
fn byte(salt: usize, place: usize) -> u8 {
    let mixed = place * 31 + (place >> 8) * 17 + salt * 101;
    mixed.to_le_bytes()[0]
}

fn bytes(salt: usize, from: usize, count: usize) -> Vec<u8> {
    (from..from + count)
        .map(|place| byte(salt, place))
        .collect()
}

#[derive(Debug)]
struct Model {
    guest: Guest,
    streams: Vec<Stream>,
    waiting: usize,
}

impl Model {
    fn new(buf_alloc: u32) -> Self {
        let mut guest = Guest::new();
        let mut streams = Vec::new();
        for number in 0..STREAMS {
            guest.post(1, 3776);
            let (client, ports) = guest.connect(u32::try_from(number).expect("a few"));
            let mut peer = Peer::new(ports, buf_alloc);
            guest.send(peer.header(Op::CreditUpdate), &[]);
            guest.settle();
            streams.push(Stream {
                client,
                peer,
                client_wrote: 0,
                client_read: 0,
                client_ended: false,
                client_saw_end: false,
                guest_wrote: 0,
                guest_read: 0,
                guest_ended: false,
            });
        }
        guest.sent();
        Self {
            guest,
            streams,
            waiting: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        self.waiting = self.waiting.saturating_sub(self.guest.sent());
        let may_send = self.waiting < MOST_WAITING;
        match *step {
            Step::ClientWrites(at, count) => self.client_writes(at, count),
            Step::ClientReads(at, count) => self.client_reads(at, count),
            Step::ClientEnds(at) => self.client_ends(at),
            Step::GuestWrites(at, count) if may_send => self.guest_writes(at, count),
            Step::GuestReads(at, count) if may_send => self.guest_reads(at, count),
            Step::GuestEnds(at) if may_send => self.guest_ends(at),
            Step::GuestTakesPackets(count) => self.guest_takes(count),
            Step::GuestAsksForCredit(at) if may_send => {
                let header = self.streams[at].peer.header(Op::CreditRequest);
                self.send(header, &[]);
            }
            Step::BuffersCome(count, length) => {
                let room = MOST_BUFFERS.saturating_sub(self.guest.buffers_out());
                let room = u16::try_from(room).expect("at most 100");
                self.guest.post(count.min(room), length);
            }
            Step::BackendRuns => self.guest.run().expect("run the backend"),
            _ => {}
        }
    }

    fn send(&mut self, header: crate::vsock::packet::Header, payload: &[u8]) {
        self.guest.send(header, payload);
        self.waiting += 1;
    }

    fn client_writes(&mut self, at: usize, count: usize) {
        let stream = &mut self.streams[at];
        if stream.client_ended {
            return;
        }
        let data = bytes(at, stream.client_wrote, count);
        match stream.client.write(&data) {
            Ok(count) => stream.client_wrote += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    fn client_reads(&mut self, at: usize, count: usize) {
        let stream = &mut self.streams[at];
        let mut data = vec![0; count];
        match stream.client.read(&mut data) {
            Ok(0) => {
                assert!(stream.guest_ended, "an end that nobody made");
                assert_eq!(
                    stream.client_read, stream.guest_wrote,
                    "bytes lost before the end"
                );
                stream.client_saw_end = true;
            }
            Ok(count) => {
                let expect = bytes(at + STREAMS, stream.client_read, count);
                assert!(data[..count] == expect, "bytes to the client");
                stream.client_read += count;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    fn client_ends(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        if !stream.client_ended {
            stream.client_ended = true;
            stream.client.shutdown(Shutdown::Write).expect("shut");
        }
    }

    fn guest_writes(&mut self, at: usize, count: usize) {
        let stream = &mut self.streams[at];
        if stream.guest_ended || stream.peer.reset {
            return;
        }
        let data = bytes(at + STREAMS, stream.guest_wrote, count);
        if let Some((header, count)) = stream.peer.write(&data) {
            stream.guest_wrote += count;
            self.send(header, &data[..count]);
        }
    }

    fn guest_reads(&mut self, at: usize, count: usize) {
        let stream = &mut self.streams[at];
        let (data, update) = stream.peer.read(count);
        let expect = bytes(at, stream.guest_read, data.len());
        assert!(data == expect, "bytes to the guest");
        stream.guest_read += data.len();
        if let Some(update) = update {
            self.send(update, &[]);
        }
    }

    fn guest_ends(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        if !stream.guest_ended {
            stream.guest_ended = true;
            let header = shutdown(stream.peer.ports, Sides::SEND);
            let credit = stream.peer.header(Op::Shutdown);
            let header = crate::vsock::packet::Header {
                flags: header.flags,
                ..credit
            };
            self.send(header, &[]);
        }
    }

    fn guest_takes(&mut self, most: usize) {
        for _ in 0..most {
            if self.waiting >= MOST_WAITING {
                return;
            }
            let Some(got) = self.guest.next() else {
                return;
            };
            let ports = got.header.src_port;
            let stream = self
                .streams
                .iter_mut()
                .find(|stream| stream.peer.ports.host == ports);
            let stream = stream.expect("a packet of a known stream");
            if let Some(answer) = stream.peer.take(&got) {
                self.send(answer, &[]);
            }
        }
    }

    /// Everyone is willing: whatever was written arrives.
    fn drain(&mut self) {
        for _round in 0..10_000 {
            self.step(&Step::BuffersCome(30, 3776));
            self.guest.settle();
            for at in 0..STREAMS {
                self.step(&Step::GuestTakesPackets(100));
                self.step(&Step::GuestReads(at, usize::MAX));
                self.step(&Step::ClientReads(at, 65_536));
                self.guest.settle();
            }
            if self.streams.iter().all(Stream::is_done) {
                return;
            }
        }
        panic!(
            "it does not drain: {:?} {:?}",
            self.streams, self.guest.backend
        );
    }
}

impl Stream {
    fn is_done(&self) -> bool {
        let bytes = self.guest_read == self.client_wrote && self.client_read == self.guest_wrote;
        let heard = self.peer.ended & Sides::SEND.bits() != 0;
        bytes && self.client_ended == heard && self.client_saw_end == self.guest_ended
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn streams_in_any_order_of_events_arrive_and_end(
        // A round of `drain` moves a window at most: with smaller ones it would run out of rounds, not out of luck.
        buf_alloc in prop_oneof![Just(262_144_u32), 1_000_u32..10_000, 60_000_u32..70_000],
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut model = Model::new(buf_alloc);
        for step in &steps {
            model.step(step);
        }
        model.drain();
        model.guest.sent();
        prop_assert!(!model.guest.is_woken(), "idle when done");
    }
}

#[test]
fn guest_with_a_tiny_window_gets_everything() {
    for buf_alloc in [1, 2, 3, 7] {
        let mut model = Model::new(buf_alloc);
        model.step(&Step::ClientWrites(0, 500));
        model.step(&Step::GuestWrites(0, 500));
        model.drain();
    }
}
