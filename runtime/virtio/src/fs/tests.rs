//! The file system device between a driver and a server, each of them honest, broken or gone. Main type: [`Guest`].

use std::{os::fd::OwnedFd, sync::Arc};

use machine::memory::GuestRam;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt},
};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::{
    backend::{BackendError, Notifier},
    device::ActiveQueue,
    limits::{SHARE_MESSAGE_BYTES, SHARE_QUEUE_ENTRIES},
    test_driver::{Counter, DriverRing, Piece, into, link::ActiveLane, memory, out},
};

const OUT: u64 = 0x10_0000;
const IN: u64 = 0x20_0000;

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const READ: u32 = 15;

/// A driver, the device at work, and the server's end of its socket.
struct Guest {
    memory: GuestRam,
    device: FileSystem,
    backend: Box<dyn Backend>,
    lanes: [ActiveLane; 2],
    server: OwnedFd,
}

fn pair() -> (OwnedFd, OwnedFd) {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap()
}

fn lanes(memory: &GuestRam) -> ([ActiveLane; 2], Vec<Option<ActiveQueue>>) {
    let (hiprio, first) = ActiveLane::new(memory, 0x1_0000, 64);
    let (requests, second) = ActiveLane::new(memory, 0x2_0000, 64);
    ([hiprio, requests], vec![Some(first), Some(second)])
}

fn activation(memory: &GuestRam, queues: Vec<Option<ActiveQueue>>) -> Activation {
    let (_, config_changed): (Arc<Counter>, Notifier) = Counter::notifier();
    Activation {
        memory: memory.clone(),
        features: 0,
        queues,
        config_changed,
    }
}

impl Guest {
    fn new() -> Self {
        let (ours, server) = pair();
        let device = FileSystem::new("cofferdam", ours).unwrap();
        Self::with(device, server)
    }

    fn with(mut device: FileSystem, server: OwnedFd) -> Self {
        let memory = memory();
        let (lanes, queues) = lanes(&memory);
        let backend = device.activate(activation(&memory, queues)).unwrap();
        Self {
            memory,
            device,
            backend,
            lanes,
            server,
        }
    }

    /// The driver is reset and starts over.
    fn restart(self) -> Self {
        let Self { device, server, .. } = self;
        Self::with(device, server)
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        let written = self.memory.write_slice(bytes, GuestAddress(address));
        written.unwrap();
    }

    fn read(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.memory.read_slice(&mut bytes, GuestAddress(address));
        read.unwrap();
        bytes
    }

    /// A request on a queue with the pieces of its chain, and the doorbell.
    fn offer(&mut self, queue: usize, pieces: &[Piece]) -> u32 {
        let head = self.lanes[queue].driver.request(pieces);
        self.lanes[queue].notify();
        u32::from(head)
    }

    /// A request of this length at `OUT`, with room for an answer at `IN`.
    fn ask(&mut self, opcode: u32, unique: u64, length: u32, room: u32) -> u32 {
        self.write(OUT, &request(opcode, unique, length));
        self.offer(
            1,
            &[out(OUT, 40), out(OUT + 40, length - 40), into(IN, room)],
        )
    }

    /// Runs the backend until nothing wakes it.
    fn run(&mut self) {
        for _ in 0..100 {
            self.backend.run().unwrap();
            if !self.is_woken() {
                return;
            }
        }
        panic!("the backend spins");
    }

    fn is_woken(&self) -> bool {
        let mut poll = [PollFd::from_borrowed_fd(self.backend.wake(), PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&Timespec::default())).unwrap() > 0
    }

    /// What the server was asked, if anything.
    fn asked(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 0x2_0000];
        let received = rustix::net::recv(&self.server, &mut bytes[..], RecvFlags::DONTWAIT);
        let (length, _) = received.ok()?;
        bytes.truncate(length);
        Some(bytes)
    }

    fn answer(&self, bytes: &[u8]) {
        let sent = rustix::net::send(&self.server, bytes, SendFlags::empty());
        assert_eq!(sent, Ok(bytes.len()));
    }

    fn used(&mut self) -> Option<(u32, u32)> {
        self.lanes[1].driver.take_used()
    }

    /// Checks that the request was answered with an error.
    fn check_failed(&mut self, head: u32, unique: u64, error: Errno) {
        assert_eq!(self.used(), Some((head, 16)));
        assert_eq!(
            self.read(IN, 16),
            reply_header(16, -error.raw_os_error(), unique)
        );
    }
}

fn request(opcode: u32, unique: u64, length: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(length.to_le_bytes());
    bytes.extend(opcode.to_le_bytes());
    bytes.extend(unique.to_le_bytes());
    let length = usize::try_from(length).unwrap();
    bytes.extend((bytes.len()..length).map(|at| u8::try_from(at % 251).unwrap()));
    bytes
}

fn reply_header(length: usize, error: i32, unique: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(length).unwrap().to_le_bytes());
    bytes.extend(error.to_le_bytes());
    bytes.extend(unique.to_le_bytes());
    bytes
}

fn reply(unique: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = reply_header(16 + body.len(), 0, unique);
    bytes.extend(body);
    bytes
}

fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[8..16].try_into().unwrap())
}

#[test]
fn file_system_has_the_configuration_of_the_specification() {
    let guest = Guest::new();
    let mut config = [0xff; 48];
    config.fill(0);
    guest.device.config_read(0, &mut config);
    assert_eq!(&config[..12], b"cofferdam\0\0\0");
    assert_eq!(&config[36..41], [1, 0, 0, 0, 0]);
    let mut number = [0; 4];
    guest.device.config_read(36, &mut number);
    assert_eq!(number, [1, 0, 0, 0]);
    guest.device.config_read(u64::MAX, &mut number);
    assert_eq!(guest.device.id().number(), 26);
    assert_eq!(guest.device.queue_sizes(), [256, 256]);
    assert_eq!(guest.device.features(), 0);
}

#[test]
fn file_system_of_other_parts_is_not_made() {
    let long = "x".repeat(37);
    for tag in ["", "a\0b", &long] {
        let error = FileSystem::new(tag, pair().0).unwrap_err();
        assert!(matches!(error, FileSystemError::Tag { .. }));
    }
    let stream = std::os::unix::net::UnixStream::pair().unwrap().0;
    let file = std::fs::File::open("/dev/null").unwrap();
    for fd in [OwnedFd::from(stream), OwnedFd::from(file)] {
        let error = FileSystem::new("x", fd).unwrap_err();
        assert!(matches!(error, FileSystemError::Socket(_)));
    }
    let mut device = FileSystem::new(&"x".repeat(36), pair().0).unwrap();
    let memory = memory();
    let (_lanes, mut queues) = lanes(&memory);
    queues.pop();
    let error = device.activate(activation(&memory, queues)).unwrap_err();
    assert!(matches!(error, ActivateError::QueueMissing { index: 1 }));
}

#[test]
fn request_goes_to_the_server_and_its_reply_to_the_guest() {
    let mut guest = Guest::new();
    let head = guest.ask(LOOKUP, 0xabcd, 46, 200);
    guest.run();
    let asked = guest.asked().unwrap();
    let mut expect = request(LOOKUP, 0xabcd, 46);
    expect[8..16].copy_from_slice(&number(&asked).to_le_bytes());
    assert_eq!(asked, expect);
    assert_ne!(number(&asked), 0xabcd);
    assert_eq!(guest.used(), None);
    guest.answer(&reply(number(&asked), &[5; 128]));
    guest.run();
    assert_eq!(guest.used(), Some((head, 144)));
    assert_eq!(guest.read(IN, 144), reply(0xabcd, &[5; 128]));
    assert_eq!(guest.read(IN + 144, 56), [0; 56]);
    assert_eq!(guest.lanes[1].interrupts.count(), 1);
}

#[test]
fn request_and_reply_of_the_largest_size_pass() {
    let mut guest = Guest::new();
    let most = u32::try_from(SHARE_MESSAGE_BYTES).unwrap();
    let head = guest.ask(READ, 3, most, most);
    guest.run();
    let asked = guest.asked().unwrap();
    assert_eq!(asked.len(), SHARE_MESSAGE_BYTES);
    guest.answer(&reply(number(&asked), &vec![7; SHARE_MESSAGE_BYTES - 16]));
    guest.run();
    assert_eq!(guest.used(), Some((head, most)));
}

#[test]
fn replies_come_in_any_order() {
    let mut guest = Guest::new();
    let mut heads = Vec::new();
    for unique in [1, 2, 2] {
        guest.write(OUT + unique * 0x100, &request(LOOKUP, unique, 40));
        let (from, to) = (OUT + unique * 0x100, IN + unique * 0x100);
        heads.push(guest.offer(1, &[out(from, 40), into(to, 16)]));
    }
    guest.run();
    let asked: Vec<_> = std::iter::from_fn(|| guest.asked()).collect();
    assert_eq!(asked.len(), 3);
    for (at, expect) in [(2, heads[2]), (0, heads[0]), (1, heads[1])] {
        guest.answer(&reply(number(&asked[at]), &[]));
        guest.run();
        assert_eq!(guest.used(), Some((expect, 16)));
    }
}

#[test]
fn forget_goes_out_and_is_given_back_at_once() {
    let mut guest = Guest::new();
    guest.write(OUT, &request(FORGET, 9, 48));
    let head = guest.offer(0, &[out(OUT, 48)]);
    guest.run();
    assert_eq!(guest.asked().unwrap().len(), 48);
    assert_eq!(guest.lanes[0].driver.take_used(), Some((head, 0)));
    // The next one has another number, and nobody waits for this one.
    guest.ask(LOOKUP, 10, 40 + 6, 16);
    guest.run();
    let next = number(&guest.asked().unwrap());
    guest.answer(&reply(next - 1, &[]));
    guest.run();
    assert!(guest.device.connection().is_up());
    assert_eq!(guest.used(), None);
}

/// Sends what a hostile driver may send; the server hears nothing, and the device goes on.
fn check_hostile(pieces: &[Piece], bytes: &[u8], written: u32) {
    let mut guest = Guest::new();
    guest.write(OUT, bytes);
    let head = guest.offer(1, pieces);
    guest.run();
    assert_eq!(guest.used(), Some((head, written)));
    assert_eq!(guest.asked(), None);
    guest.ask(LOOKUP, 1, 46, 16);
    guest.run();
    assert!(guest.asked().is_some());
}

#[test]
fn request_that_is_malformed_goes_nowhere() {
    let honest = request(LOOKUP, 1, 64);
    check_hostile(&[out(OUT, 64)], &honest, 0);
    check_hostile(&[out(OUT, 64), into(IN, 15)], &honest, 0);
    check_hostile(&[out(OUT, 39), into(IN, 16)], &honest, 16);
    check_hostile(&[out(OUT, 63), into(IN, 16)], &honest, 16);
    check_hostile(&[out(OUT, 65), into(IN, 16)], &honest, 16);
    check_hostile(&[out(OUT, 0), into(IN, 16)], &honest, 16);
    check_hostile(&[into(IN, 16)], &honest, 16);
    check_hostile(&[into(IN, 0)], &honest, 0);
    check_hostile(&[out(OUT, 64)], &request(36, 1, 64), 0);
    let long = [
        out(OUT, 0x8000),
        out(OUT, 0x8000),
        out(OUT, 0x1001),
        into(IN, 16),
    ];
    check_hostile(&long, &request(LOOKUP, 1, 0x1_1001), 16);
}

#[test]
fn request_that_lies_about_its_length_is_told_so() {
    let mut guest = Guest::new();
    guest.write(OUT, &request(LOOKUP, 77, 64));
    let head = guest.offer(1, &[out(OUT, 60), into(IN, 64)]);
    guest.run();
    guest.check_failed(head, 77, Errno::INVAL);
}

#[test]
fn ring_that_is_broken_ends_the_backend_and_no_more() {
    for chain in [
        vec![out(u64::MAX - 8, 64), into(IN, 16)],
        vec![into(IN, 16), out(OUT, 40)],
    ] {
        let mut guest = Guest::new();
        guest.offer(1, &chain);
        let error = guest.backend.run().unwrap_err();
        assert!(matches!(error, BackendError::Queue { queue: 1, .. }));
        assert!(guest.device.connection().is_up());
    }
    // A loop: the descriptor is followed by itself.
    let mut guest = Guest::new();
    let driver: &mut DriverRing = &mut guest.lanes[1].driver;
    driver.descriptor(0, (OUT, 40), crate::test_driver::NEXT, 0);
    driver.offer(0);
    guest.lanes[1].notify();
    assert!(guest.backend.run().is_err());
}

#[test]
fn reply_that_does_not_fit_is_an_error_for_its_request_alone() {
    let mut guest = Guest::new();
    let head = guest.ask(LOOKUP, 4, 46, 20);
    guest.run();
    let asked = number(&guest.asked().unwrap());
    guest.answer(&reply(asked, &[1; 5]));
    guest.run();
    guest.check_failed(head, 4, Errno::IO);
    assert!(guest.device.connection().is_up());
}

/// A server that says this is cut off, and whoever waits is told.
fn check_cut(lie: impl FnOnce(u64) -> Vec<u8>) {
    let mut guest = Guest::new();
    let head = guest.ask(LOOKUP, 5, 46, 64);
    guest.run();
    let asked = number(&guest.asked().unwrap());
    guest.answer(&lie(asked));
    guest.run();
    guest.check_failed(head, 5, Errno::NOTCONN);
    assert!(!guest.device.connection().is_up());
    let head = guest.ask(LOOKUP, 6, 46, 64);
    guest.run();
    guest.check_failed(head, 6, Errno::NOTCONN);
}

#[test]
fn server_that_lies_is_cut_off() {
    check_cut(|asked| reply(asked + 1, &[]));
    check_cut(|_| reply(0, &[]));
    check_cut(|_| reply(u64::MAX, &[]));
    check_cut(|_| vec![1; 15]);
    check_cut(|asked| reply_header(17, 0, asked));
    check_cut(|asked| reply_header(16, 1, asked));
    check_cut(|asked| reply(asked, &vec![0; SHARE_MESSAGE_BYTES - 15]));
}

#[test]
fn server_that_answers_twice_is_heard_once() {
    let mut guest = Guest::new();
    let head = guest.ask(LOOKUP, 5, 46, 64);
    guest.run();
    let asked = number(&guest.asked().unwrap());
    guest.answer(&reply(asked, &[1]));
    guest.answer(&reply(asked, &[2; 2]));
    guest.run();
    assert_eq!(guest.used(), Some((head, 17)));
    assert_eq!(guest.used(), None);
    assert!(guest.device.connection().is_up());
}

#[test]
fn server_that_is_gone_is_not_waited_for() {
    let mut guest = Guest::new();
    let head = guest.ask(LOOKUP, 5, 46, 64);
    guest.run();
    assert!(guest.device.connection().is_up());
    drop(std::mem::replace(&mut guest.server, pair().0));
    assert!(!guest.device.connection().is_up());
    guest.run();
    guest.check_failed(head, 5, Errno::NOTCONN);
    // Also what comes later, and what has no answer.
    let head = guest.ask(LOOKUP, 6, 46, 64);
    guest.write(OUT + 0x1000, &request(FORGET, 9, 48));
    let forget = guest.offer(0, &[out(OUT + 0x1000, 48)]);
    guest.run();
    guest.check_failed(head, 6, Errno::NOTCONN);
    assert_eq!(guest.lanes[0].driver.take_used(), Some((forget, 0)));
}

#[test]
fn server_that_went_before_the_driver_came_fails_its_first_request() {
    let (ours, theirs) = pair();
    let device = FileSystem::new("x", ours).unwrap();
    drop(theirs);
    let mut guest = Guest::with(device, pair().0);
    let head = guest.ask(LOOKUP, 6, 46, 64);
    guest.run();
    guest.check_failed(head, 6, Errno::NOTCONN);
}

#[test]
fn server_that_does_not_read_leaves_requests_in_the_ring() {
    let mut guest = Guest::new();
    sockopt::set_socket_send_buffer_size(&guest.device.connection().0, 4096).unwrap();
    let heads: Vec<u32> = (0..20)
        .map(|unique| guest.ask(LOOKUP, unique, 1000, 16))
        .collect();
    guest.run();
    let mut asked = Vec::new();
    while let Some(message) = guest.asked() {
        asked.push(number(&message));
        guest.run();
    }
    assert_eq!(asked, (1..=20).collect::<Vec<u64>>());
    for unique in asked {
        guest.answer(&reply(unique, &[]));
    }
    guest.run();
    let used: Vec<u32> = std::iter::from_fn(|| guest.used())
        .map(|used| used.0)
        .collect();
    assert_eq!(used, heads);
}

#[test]
fn driver_that_offers_more_than_the_queue_holds_waits() {
    let mut guest = Guest::new();
    guest.write(OUT, &request(LOOKUP, 1, 40));
    let pieces = [out(OUT, 40), into(IN, 16)];
    let mut asked = Vec::new();
    // A driver never has more in flight than its queue is long; this one offers its descriptors again.
    for _ in 0..13 {
        for _ in 0..20 {
            guest.offer(1, &pieces);
        }
        guest.run();
        asked.extend(std::iter::from_fn(|| guest.asked()));
    }
    assert_eq!(asked.len(), usize::from(SHARE_QUEUE_ENTRIES));
    guest.answer(&reply(number(&asked[0]), &[]));
    guest.run();
    assert!(guest.asked().is_some() && guest.asked().is_none());
}

#[test]
fn reply_for_a_driver_that_was_reset_finds_nobody() {
    let mut guest = Guest::new();
    guest.ask(LOOKUP, 5, 46, 64);
    guest.run();
    let before = number(&guest.asked().unwrap());
    let mut guest = guest.restart();
    let head = guest.ask(LOOKUP, 5, 46, 64);
    guest.run();
    let after = number(&guest.asked().unwrap());
    assert_ne!(before, after);
    guest.answer(&reply(before, &[1; 30]));
    guest.run();
    assert_eq!(guest.used(), None);
    guest.answer(&reply(after, &[2]));
    guest.run();
    assert_eq!(guest.used(), Some((head, 17)));
    assert!(guest.device.connection().is_up());
}
