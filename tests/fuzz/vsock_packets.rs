//! The socket device under a hostile driver, with clients that come and go: no panic, no spin, and what it writes into receive
//! buffers are whole packets of the host.

#![no_main]

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    sync::{Arc, OnceLock},
};

use libfuzzer_sys::fuzz_target;
use machine::memory::GuestRam;
use rustix::event::{PollFd, PollFlags, Timespec};
use virtio::{
    backend::{Backend, Interrupt, Kick, Notifier},
    device::{Activation, ActiveQueue, Device},
    vsock::Socket,
};
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const ENTRIES: u16 = 8;
const QUEUES: u64 = 3;
/// Each queue has three pages for its rings and one for its buffers.
const QUEUE_BYTES: u64 = 0x4000;
const BUFFER_BYTES: u64 = 0x200;
/// Clients at a time, and steps of one input.
const MOST_CLIENTS: usize = 4;
const MOST_STEPS: usize = 64;
/// One step wakes the backend no more often than this, or it spins.
const MOST_RUNS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let [options, steps @ ..] = bytes else {
        return;
    };
    let mut guest = Guest::new(options & 1 == 1);
    let mut input = Input(steps);
    for _ in 0..MOST_STEPS {
        let Some(step) = input.byte() else {
            break;
        };
        guest.step(step, &mut input);
        if !guest.settle() {
            // The ring is broken; the driver has to start over.
            break;
        }
        guest.look_at_packets();
    }
    drop(guest);
    // Clients of this input shall not meet the next one.
    while listener().accept().is_ok() {}
});

/// Fuzz bytes, from front to back.
struct Input<'a>(&'a [u8]);

/// Three rings, the device, and clients.
struct Guest {
    memory: GuestRam,
    backend: Box<dyn Backend>,
    device: Socket,
    kicks: Vec<EventFd>,
    available: [u16; 3],
    seen: u16,
    clients: Vec<UnixStream>,
    /// Local ports that requests named.
    ports: Vec<u32>,
}

#[derive(Debug)]
struct Silent;

impl Interrupt for Silent {
    fn trigger(&self) {}
}

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn word(&mut self) -> u32 {
        let bytes = [(); 4].map(|()| self.byte().unwrap_or(0));
        u32::from_le_bytes(bytes)
    }

    /// Small numbers and those near a power of two are where the borders are.
    fn number(&mut self) -> u32 {
        match self.byte().unwrap_or(0) {
            0 => self.word(),
            shift @ 1..=32 => (1_u32 << (shift - 1)).wrapping_sub(1),
            small => u32::from(small) - 33,
        }
    }
}

impl Guest {
    fn new(event_idx: bool) -> Self {
        static MEMORY: OnceLock<GuestRam> = OnceLock::new();
        let length = usize::try_from(QUEUES * QUEUE_BYTES).expect("a few pages");
        let memory = MEMORY.get_or_init(|| {
            GuestRam::from_ranges(&[(GuestAddress(0), length)]).expect("map memory")
        });
        let zeroes = vec![0; length];
        memory
            .write_slice(&zeroes, GuestAddress(0))
            .expect("clear it");
        let kicks: Vec<EventFd> = (0..QUEUES)
            .map(|_| EventFd::new(EFD_NONBLOCK).expect("make an eventfd"))
            .collect();
        let silent = Notifier(Arc::new(Silent));
        let queues = (0..QUEUES).zip(&kicks).map(|(number, kick)| {
            Some(ActiveQueue {
                queue: queue(number * QUEUE_BYTES, event_idx),
                kick: Kick(kick.try_clone().expect("share an eventfd")),
                notifier: silent.clone(),
            })
        });
        let activation = Activation {
            memory: memory.clone(),
            features: 0,
            queues: queues.collect(),
            config_changed: silent.clone(),
        };
        let door: OwnedFd = listener().try_clone().expect("share the listener").into();
        let mut device = Socket::new(3, door).expect("a listening socket");
        Self {
            backend: device.activate(activation).expect("its queues are there"),
            memory: memory.clone(),
            device,
            kicks,
            available: [0; 3],
            seen: 0,
            clients: Vec::new(),
            ports: Vec::new(),
        }
    }

    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        match step % 12 {
            0..=3 => self.packet(input),
            4 | 5 => {
                let length = 0x100.min(input.number());
                self.request(0, length, true);
            }
            6 => self.client(input),
            7 | 8 => self.client_writes(input),
            9 => self.client_ends(input),
            10 => {
                self.request(2, 4, true);
                if input.byte().unwrap_or(0) == 0 {
                    self.device.transport_reset().raise().expect("raise");
                }
            }
            _ => self.kicks[usize::from(step) % 3].write(1).expect("ring"),
        }
    }

    /// A packet that is right but for what the fuzzer wants wrong.
    fn packet(&mut self, input: &mut Input<'_>) {
        let wrong = input.byte().unwrap_or(0);
        let pick =
            |bit: u8, right: u32, other: u32| if wrong >> bit & 1 == 1 { other } else { right };
        let port = usize::from(input.byte().unwrap_or(0)) % (self.ports.len() + 1);
        let host_port = self
            .ports
            .get(port)
            .copied()
            .unwrap_or_else(|| input.number());
        let payload = input.number() % 0x100;
        let (src_cid, dst_cid) = (pick(0, 3, input.number()), pick(1, 2, input.number()));
        let mut bytes = Vec::with_capacity(44);
        bytes.extend(u64::from(src_cid).to_le_bytes());
        bytes.extend(u64::from(dst_cid).to_le_bytes());
        bytes.extend(pick(2, 7, input.number()).to_le_bytes());
        bytes.extend(host_port.to_le_bytes());
        let op = u32::from(input.byte().unwrap_or(0)) % 9;
        let length = if op == 5 { payload } else { 0 };
        bytes.extend(pick(3, length, input.number()).to_le_bytes());
        bytes.extend((pick(4, 1, input.number()) as u16).to_le_bytes());
        bytes.extend((op as u16).to_le_bytes());
        bytes.extend(input.number().to_le_bytes());
        bytes.extend(input.number().to_le_bytes());
        bytes.extend(input.number().to_le_bytes());
        let address = self.buffer(1);
        self.memory
            .write_slice(&bytes, GuestAddress(address))
            .expect("it is memory");
        self.request(1, 44 + payload - pick(5, 0, 1), false);
    }

    /// Offers the queue's next buffer.
    fn request(&mut self, queue: usize, length: u32, writable: bool) {
        let base = queue as u64 * QUEUE_BYTES;
        let used: u16 = self.read(base + 0x2000 + 2);
        if self.available[queue].wrapping_sub(used) >= ENTRIES {
            return;
        }
        let slot = u64::from(self.available[queue] % ENTRIES);
        let address = self.buffer(queue);
        let flags: u16 = if writable { 2 } else { 0 };
        let mut descriptor = Vec::with_capacity(16);
        descriptor.extend(address.to_le_bytes());
        descriptor.extend(length.to_le_bytes());
        descriptor.extend(flags.to_le_bytes());
        descriptor.extend([0; 2]);
        self.write(base + slot * 16, &descriptor);
        let index = u16::try_from(slot).expect("a few slots");
        self.write(base + 0x1000 + 4 + slot * 2, &index.to_le_bytes());
        self.available[queue] = self.available[queue].wrapping_add(1);
        self.write(base + 0x1000 + 2, &self.available[queue].to_le_bytes());
        self.kicks[queue].write(1).expect("ring");
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        self.memory
            .write_slice(bytes, GuestAddress(address))
            .expect("it is memory");
    }

    fn buffer(&self, queue: usize) -> u64 {
        let slot = u64::from(self.available[queue] % ENTRIES);
        queue as u64 * QUEUE_BYTES + 0x3000 + slot * BUFFER_BYTES
    }

    fn client(&mut self, input: &mut Input<'_>) {
        if self.clients.len() >= MOST_CLIENTS {
            self.clients.remove(0);
        }
        let mut client = UnixStream::connect_addr(&address()).expect("connect");
        client.set_nonblocking(true).expect("set non-blocking");
        let greeting: &[u8] = match input.byte().unwrap_or(0) % 8 {
            0 => b"CONNECT 7",
            1 => b"nonsense\n",
            _ => b"CONNECT 7\n",
        };
        client.write_all(greeting).expect("a fresh socket has room");
        self.clients.push(client);
    }

    fn client_writes(&mut self, input: &mut Input<'_>) {
        let number = usize::from(input.byte().unwrap_or(0));
        let length = usize::try_from(input.number() % 0x2000).expect("a few");
        let Some(client) = self.clients.get_mut(number % MOST_CLIENTS) else {
            return;
        };
        // A client that was refused or reset can't; a full one may not.
        client.write(&vec![0x2a; length]).ok();
        client.read(&mut [0; 0x400]).ok();
    }

    fn client_ends(&mut self, input: &mut Input<'_>) {
        let how = usize::from(input.byte().unwrap_or(0));
        let number = how % MOST_CLIENTS;
        if number < self.clients.len() {
            match how / MOST_CLIENTS % 3 {
                0 => self.clients[number].shutdown(Shutdown::Write).ok(),
                1 => self.clients[number].shutdown(Shutdown::Read).ok(),
                _ => Some(drop(self.clients.remove(number))),
            };
        }
    }

    /// Runs the backend until it has nothing to do; false when it can't go on.
    fn settle(&mut self) -> bool {
        for _ in 0..MOST_RUNS {
            if !self.is_woken() {
                return true;
            }
            if self.backend.run().is_err() {
                return false;
            }
        }
        panic!("the backend spins");
    }

    fn is_woken(&self) -> bool {
        let wake = self.backend.wake();
        let mut wait = [PollFd::new(&wake, PollFlags::IN)];
        rustix::event::poll(&mut wait, Some(&Timespec::default())).expect("poll") > 0
    }

    /// What came is from the host, for the guest, and as long as it says.
    fn look_at_packets(&mut self) {
        let used: u16 = self.read(0x2000 + 2);
        while self.seen != used {
            let entry = 0x2000 + 4 + u64::from(self.seen % ENTRIES) * 8;
            self.seen = self.seen.wrapping_add(1);
            let (head, length): (u32, u32) = (self.read(entry), self.read(entry + 4));
            if length == 0 {
                continue;
            }
            let packet = 0x3000 + u64::from(head) * BUFFER_BYTES;
            let cids: [u64; 2] = [self.read(packet), self.read(packet + 8)];
            assert_eq!(cids, [2, 3]);
            assert_eq!(self.read::<u32>(packet + 24), length - 44);
            let (port, op): (u32, u16) = (self.read(packet + 16), self.read(packet + 30));
            assert!(
                (1..=7).contains(&op) && op != 2,
                "operation {op} to the guest"
            );
            if op == 1 && self.ports.len() < 16 {
                self.ports.push(port);
            }
        }
    }

    fn read<T: vm_memory::ByteValued>(&self, address: u64) -> T {
        self.memory
            .read_obj(GuestAddress(address))
            .expect("it is memory")
    }
}

fn queue(base: u64, event_idx: bool) -> Queue {
    let mut queue = Queue::new(ENTRIES).expect("a queue size");
    let set = queue.try_set_desc_table_address(GuestAddress(base));
    set.expect("aligned");
    let set = queue.try_set_avail_ring_address(GuestAddress(base + 0x1000));
    set.expect("aligned");
    let set = queue.try_set_used_ring_address(GuestAddress(base + 0x2000));
    set.expect("aligned");
    queue.set_size(ENTRIES);
    queue.set_event_idx(event_idx);
    queue.set_ready(true);
    queue
}

/// A socket without a path; its name goes with the process.
fn address() -> SocketAddr {
    let name = format!("cofferdam-fuzz-{}", std::process::id());
    SocketAddr::from_abstract_name(name).expect("a short name")
}

fn listener() -> &'static UnixListener {
    static LISTENER: OnceLock<UnixListener> = OnceLock::new();
    LISTENER.get_or_init(|| {
        let listener = UnixListener::bind_addr(&address()).expect("listen");
        listener.set_nonblocking(true).expect("set non-blocking");
        listener
    })
}
