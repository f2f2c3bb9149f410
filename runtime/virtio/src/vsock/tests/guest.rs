//! A guest for the tests: its memory, its driver's three rings, and packets in both directions. Main type: [`Guest`]. Below:
//! the backend under test, over real queues and a real listening socket.

use std::{
    collections::HashMap,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    time::{Duration, Instant},
};

use machine::memory::GuestRam;
use rustix::event::{PollFd, PollFlags, Timespec};
use tempfile::TempDir;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use crate::{
    backend::{Backend, BackendError, Kick},
    device::{Activation, ActiveQueue},
    test_driver::{Counter, DriverRing, Piece, into, memory, out},
    vsock::{
        Socket, TransportReset,
        backend::SocketBackend,
        packet::{HEADER_BYTES, HOST_CID, Header, Op, Ports, STREAM, Sides},
    },
};

pub(in crate::vsock) const GUEST_CID: u64 = 3;
const RX_AREA: u64 = 0x10_0000;
const TX_AREA: u64 = 0x20_0000;
const TX_SLOT: u64 = 0x1_1000;
const TX_SLOTS: u64 = 32;
const EVENT_AREA: u64 = 0x9_0000;

/// How a packet's bytes are cut into descriptors.
#[derive(Debug, Clone, Copy)]
pub(in crate::vsock) enum Cut {
    /// Header and payload in one, as Linux does from 6.1 on.
    One,
    /// Header, payload: Linux before.
    Two,
    /// At these places; Linux 6.17 cuts large payloads.
    Every(u32),
}

/// A packet that the guest received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vsock) struct Got {
    pub(in crate::vsock) header: Header,
    pub(in crate::vsock) payload: Vec<u8>,
}

/// A guest with its socket device.
#[derive(Debug)]
pub(in crate::vsock) struct Guest {
    pub(in crate::vsock) backend: SocketBackend,
    pub(in crate::vsock) device: Socket,
    pub(in crate::vsock) reset: TransportReset,
    memory: GuestRam,
    pub(in crate::vsock) rx: DriverRing,
    pub(in crate::vsock) tx: DriverRing,
    pub(in crate::vsock) event: DriverRing,
    pub(in crate::vsock) kicks: [EventFd; 3],
    pub(in crate::vsock) interrupts: [Arc<Counter>; 3],
    rx_buffers: HashMap<u32, (u64, u32)>,
    rx_posted: u64,
    event_idx: bool,
    tx_next: u64,
    pub(in crate::vsock) cut: Cut,
    folder: TempDir,
}

/// What of a guest's driver a test chooses.
#[derive(Debug, Clone, Copy)]
pub(in crate::vsock) struct Driver {
    pub(in crate::vsock) queue_size: u16,
    pub(in crate::vsock) event_idx: bool,
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            queue_size: 128,
            event_idx: true,
        }
    }
}

impl Guest {
    /// A guest whose driver is ready, with no receive buffers yet.
    pub(in crate::vsock) fn new() -> Self {
        Self::with(Driver::default())
    }

    /// A guest with 64 receive buffers of 4 KiB.
    pub(in crate::vsock) fn ready() -> Self {
        let mut guest = Self::new();
        guest.post(64, 4096);
        guest
    }

    pub(in crate::vsock) fn with(driver: Driver) -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let listener = UnixListener::bind(folder.path().join("s")).expect("listen");
        let device = Socket::new(3, listener.into()).expect("make the device");
        Self::start(device, memory(), driver, folder)
    }

    fn start(device: Socket, memory: GuestRam, driver: Driver, folder: TempDir) -> Self {
        let rings = [0x1000, 0x5000, 0x9000];
        let sizes = [driver.queue_size, driver.queue_size, 8];
        let [rx, tx, event] = [0, 1, 2].map(|at| DriverRing::new(&memory, rings[at], sizes[at]));
        let mut interrupts = Vec::new();
        let kicks = [0, 1, 2].map(|_| EventFd::new(libc::EFD_NONBLOCK).expect("an eventfd"));
        let queues = [&rx, &tx, &event].into_iter().zip(&kicks);
        let queues = queues.map(|(ring, kick)| {
            let (counter, notifier) = Counter::notifier();
            interrupts.push(counter);
            Some(ActiveQueue {
                queue: ring.queue(driver.event_idx),
                kick: Kick(kick.try_clone().expect("clone an eventfd")),
                notifier,
            })
        });
        let activation = Activation {
            memory: memory.clone(),
            features: 0,
            queues: queues.collect(),
            config_changed: Counter::notifier().1,
        };
        let backend = device.backend(activation).expect("start the backend");
        Self {
            backend,
            reset: device.transport_reset(),
            device,
            memory,
            rx,
            tx,
            event,
            kicks,
            interrupts: interrupts.try_into().expect("three queues"),
            rx_buffers: HashMap::new(),
            rx_posted: 0,
            event_idx: driver.event_idx,
            tx_next: 0,
            cut: Cut::Two,
            folder,
        }
    }

    /// The driver resets the device and starts over, with memory of its own.
    pub(in crate::vsock) fn restart(self) -> Self {
        let Self {
            backend,
            device,
            folder,
            ..
        } = self;
        drop(backend);
        Self::start(device, memory(), Driver::default(), folder)
    }

    /// The same guest goes on in another process: the rings as they are, a new backend.
    pub(in crate::vsock) fn restore(&mut self) {
        let mut interrupts = Vec::new();
        let rings = [&self.rx, &self.tx, &self.event];
        let queues = rings.into_iter().zip(&self.kicks).map(|(ring, kick)| {
            let (counter, notifier) = Counter::notifier();
            interrupts.push(counter);
            let mut queue = ring.queue(true);
            let used: u16 = self
                .memory
                .read_obj(GuestAddress(ring.used + 2))
                .expect("read");
            virtio_queue::QueueT::set_next_avail(&mut queue, used);
            virtio_queue::QueueT::set_next_used(&mut queue, used);
            Some(ActiveQueue {
                queue,
                kick: Kick(kick.try_clone().expect("clone an eventfd")),
                notifier,
            })
        });
        let activation = Activation {
            memory: self.memory.clone(),
            features: 0,
            queues: queues.collect(),
            config_changed: Counter::notifier().1,
        };
        self.backend = self.device.backend(activation).expect("start the backend");
        self.interrupts = interrupts.try_into().expect("three queues");
    }

    /// A client on the host that has said nothing yet.
    pub(in crate::vsock) fn client(&self) -> UnixStream {
        let client = UnixStream::connect(self.folder.path().join("s")).expect("connect");
        client.set_nonblocking(true).expect("set non-blocking");
        client
    }

    /// A client that is connected to a port of the guest, by the usual exchange.
    pub(in crate::vsock) fn connect(&mut self, port: u32) -> (UnixStream, Ports) {
        let mut client = self.client();
        writeln!(client, "CONNECT {port}").expect("greet");
        self.settle();
        let request = self.expect(Op::Request);
        assert_eq!(request.header.dst_port, port);
        let ports = Ports {
            host: request.header.src_port,
            guest: port,
        };
        self.send(from_guest(ports, Op::Response), &[]);
        self.settle();
        let expect = format!("OK {}\n", ports.host);
        assert_eq!(read(&mut client, expect.len()), expect.as_bytes());
        (client, ports)
    }

    /// Posts receive buffers. Each place in memory is used again and again: at most 128 are out at a time.
    pub(in crate::vsock) fn post(&mut self, count: u16, length: u32) {
        let before = self.offered(0);
        for _ in 0..count {
            let address = RX_AREA + (self.rx_posted % 128) * 4096;
            self.rx_posted += 1;
            let head = self.rx.request(&[into(address, length)]);
            self.rx_buffers.insert(u32::from(head), (address, length));
        }
        self.notify(0, before);
    }

    /// Posts event buffers.
    pub(in crate::vsock) fn post_events(&mut self, count: u16) {
        let before = self.offered(2);
        for at in 0..count {
            let address = EVENT_AREA + u64::from(at) * 4;
            let unwritten = self.memory.write_obj(u32::MAX, GuestAddress(address));
            unwritten.expect("clear an event");
            self.event.request(&[into(address, 4)]);
        }
        self.notify(2, before);
    }

    /// Puts a packet into the transmit queue and rings.
    pub(in crate::vsock) fn send(&mut self, mut header: Header, payload: &[u8]) {
        if header.length == 0 {
            header.length = u32::try_from(payload.len()).expect("a small payload");
        }
        self.send_raw(&[header.encode().as_slice(), payload].concat());
    }

    /// Puts any bytes into the transmit queue and rings.
    pub(in crate::vsock) fn send_raw(&mut self, bytes: &[u8]) {
        let address = TX_AREA + (self.tx_next % TX_SLOTS) * TX_SLOT;
        self.tx_next += 1;
        assert!(bytes.len() as u64 <= TX_SLOT, "a packet fits its slot");
        self.memory
            .write_slice(bytes, GuestAddress(address))
            .expect("write a packet");
        let length = u32::try_from(bytes.len()).expect("a small packet");
        let pieces = self.pieces(address, length);
        let before = self.offered(1);
        self.tx.request(&pieces);
        self.notify(1, before);
    }

    fn pieces(&self, address: u64, length: u32) -> Vec<Piece> {
        let header = 44.min(length);
        let cuts: Vec<u32> = match self.cut {
            Cut::One => vec![0, length],
            Cut::Two if length > header => vec![0, header, length],
            Cut::Two => vec![0, length],
            Cut::Every(step) => (0..length).step_by(step as usize).chain([length]).collect(),
        };
        let pieces = cuts
            .windows(2)
            .map(|cut| out(address + u64::from(cut[0]), cut[1] - cut[0]));
        pieces.collect()
    }

    /// Rings if the device wants to hear of what was offered since `before` (virtio 1.3, section 2.7.10): not ringing is what
    /// makes a device hang that forgot to ask.
    fn notify(&self, queue: usize, before: u16) {
        let ring = [&self.rx, &self.tx, &self.event][queue];
        let now = self.offered(queue);
        let flags: u16 = self
            .memory
            .read_obj(GuestAddress(ring.used))
            .expect("read the ring");
        let wanted = match self.event_idx {
            true => {
                let ahead = now.wrapping_sub(ring.avail_event()).wrapping_sub(1);
                ahead < now.wrapping_sub(before)
            }
            false => flags & 1 == 0,
        };
        if wanted {
            self.kick(queue);
        }
    }

    /// The queue's available index.
    fn offered(&self, queue: usize) -> u16 {
        let ring = [&self.rx, &self.tx, &self.event][queue];
        let index = GuestAddress(ring.available + 2);
        self.memory.read_obj(index).expect("read the ring")
    }

    pub(in crate::vsock) fn kick(&self, queue: usize) {
        self.kicks[queue].write(1).expect("ring");
    }

    /// Transmit requests that came back.
    pub(in crate::vsock) fn sent(&mut self) -> usize {
        std::iter::from_fn(|| self.tx.take_used()).count()
    }

    /// The next packet that the device gave the guest.
    pub(in crate::vsock) fn next(&mut self) -> Option<Got> {
        let (head, length) = self.rx.take_used()?;
        let (address, capacity) = self
            .rx_buffers
            .remove(&head)
            .expect("a buffer that was posted");
        assert!(length <= capacity, "the device wrote past a buffer");
        if length == 0 {
            return None;
        }
        let mut bytes = vec![0; length as usize];
        self.memory
            .read_slice(&mut bytes, GuestAddress(address))
            .expect("read a packet");
        let header = bytes.first_chunk::<HEADER_BYTES>().expect("a whole header");
        let header = Header::decode(header);
        let payload = bytes.split_off(HEADER_BYTES);
        assert_eq!(header.length as usize, payload.len());
        assert_eq!((header.src_cid, header.dst_cid), (HOST_CID, GUEST_CID));
        Some(Got { header, payload })
    }

    /// The next packet, which is this.
    pub(in crate::vsock) fn expect(&mut self, op: Op) -> Got {
        let got = self.next();
        let got = got.unwrap_or_else(|| panic!("{op:?} expected, nothing came"));
        assert_eq!(got.header.op, op as u16, "{op:?} expected: {got:?}");
        got
    }

    /// Nothing came.
    pub(in crate::vsock) fn expect_nothing(&mut self) {
        assert_eq!(self.next(), None);
    }

    /// Lets deadlines come as if so much time had passed, and what follows from them.
    pub(in crate::vsock) fn expire_after(&mut self, time: Duration) {
        let then = Instant::now() + time;
        self.backend.expire(then).expect("expire");
        // Nothing woke it: in a real run the timer did.
        self.run().expect("run the backend");
        self.settle();
    }

    /// How many receive buffers came back.
    pub(in crate::vsock) fn rx_taken(&self) -> u16 {
        self.memory
            .read_obj(GuestAddress(self.rx.used + 2))
            .expect("read the ring")
    }

    /// Receive buffers that the device has.
    pub(in crate::vsock) fn buffers_out(&self) -> usize {
        self.rx_buffers.len()
    }

    /// What the device wrote into an event buffer.
    pub(in crate::vsock) fn event_id(&self, number: u64) -> u32 {
        let address = GuestAddress(EVENT_AREA + number * 4);
        self.memory.read_obj(address).expect("read an event")
    }

    /// Is the backend's descriptor readable?
    pub(in crate::vsock) fn is_woken(&self) -> bool {
        self.is_woken_within(Duration::ZERO)
    }

    pub(in crate::vsock) fn is_woken_within(&self, time: Duration) -> bool {
        let wake = self.backend.wake();
        let time = Timespec::try_from(time).expect("a short time");
        let mut wait = [PollFd::new(&wake, PollFlags::IN)];
        rustix::event::poll(&mut wait, Some(&time)).expect("poll") > 0
    }

    /// Runs the backend as the monitor's loop does, until it has nothing to do; says how often. A spin fails the test.
    pub(in crate::vsock) fn settle(&mut self) -> usize {
        for runs in 0..10_000 {
            if !self.is_woken() {
                return runs;
            }
            self.run().expect("run the backend");
        }
        panic!("the backend spins");
    }

    pub(in crate::vsock) fn run(&mut self) -> Result<(), BackendError> {
        self.backend.run()
    }
}

/// A packet of the guest with a Linux-like amount of room.
pub(in crate::vsock) fn from_guest(ports: Ports, op: Op) -> Header {
    Header {
        src_cid: GUEST_CID,
        dst_cid: HOST_CID,
        src_port: ports.guest,
        dst_port: ports.host,
        kind: STREAM,
        op: op as u16,
        buf_alloc: 256 * 1024,
        ..Header::default()
    }
}

pub(in crate::vsock) fn shutdown(ports: Ports, sides: Sides) -> Header {
    Header {
        flags: sides.bits(),
        ..from_guest(ports, Op::Shutdown)
    }
}

/// Reads exactly so many bytes that are there already.
pub(in crate::vsock) fn read(client: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).expect("the bytes are there");
    bytes
}

/// The client sees the end of its stream, and nothing before.
pub(in crate::vsock) fn expect_end(client: &mut UnixStream) {
    let mut byte = [0];
    let end = client.read(&mut byte);
    assert_eq!(end.expect("the end is there"), 0);
}

/// The client sees neither bytes nor the end.
pub(in crate::vsock) fn expect_open(client: &mut UnixStream) {
    let mut byte = [0];
    let error = client.read(&mut byte).expect_err("nothing is there");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}
