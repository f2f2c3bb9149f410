//! A guest with a driver for a network device that was activated without a transport. Main type: [`Guest`].

use std::time::{Duration, Instant};

use machine::memory::GuestRam;
use vm_memory::{Bytes, GuestAddress};

use super::super::*;
use crate::test_driver::{Counter, into, link::ActiveLane, memory, out};

pub(super) const GUEST_MAC: [u8; 6] = [2, 0, 0x5e, 0, 0x53, 2];
pub(super) const HOST_MAC: [u8; 6] = [2, 0, 0x5e, 0, 0x53, 1];

/// Where frames lie: 64 KiB for what each pair receives, then as much for what it sends, then commands.
const RECEIVED: u64 = 0x10_0000;
const SENT: u64 = 0x18_0000;
const COMMAND: u64 = 0x20_0000;

/// Bytes of a receive buffer, and how many a pair has.
const BUFFER_BYTES: u32 = 2048;
const BUFFERS: u64 = 16;

const LONG: Duration = Duration::from_secs(10);

/// Runs the device's backend by itself, on the test's thread.
#[derive(Debug)]
pub(super) struct Guest {
    memory: GuestRam,
    receive: Vec<ActiveLane>,
    transmit: Vec<ActiveLane>,
    control: Option<ActiveLane>,
    backend: Box<dyn Backend>,
}

impl Guest {
    /// A driver that chose these features and gave buffers to every pair.
    pub(super) fn start(nic: &mut Nic, features: u64) -> Self {
        let mut guest = Self::start_bare(nic, features);
        for pair in 0..guest.receive.len() {
            for _ in 0..BUFFERS {
                guest.give(pair, BUFFER_BYTES);
            }
        }
        guest.run();
        guest
    }

    /// The same without any buffers.
    pub(super) fn start_bare(nic: &mut Nic, features: u64) -> Self {
        let memory = memory();
        let (mut receive, mut transmit, mut control) = (Vec::new(), Vec::new(), None);
        let mut queues = Vec::new();
        let count = nic.queue_sizes().len();
        for index in 0..count {
            let base = 0x1_0000 + u64::try_from(index).expect("small") * 0x4000;
            let (lane, active) = ActiveLane::new(&memory, base, 16);
            queues.push(Some(active));
            match index % 2 {
                0 if index + 1 == count => control = Some(lane),
                0 => receive.push(lane),
                _ => transmit.push(lane),
            }
        }
        let (_counter, config_changed) = Counter::notifier();
        let activation = Activation {
            memory: memory.clone(),
            features,
            queues,
            config_changed,
        };
        let backend = nic.activate(activation).expect("its queues are there");
        let mut guest = Self {
            memory,
            receive,
            transmit,
            control,
            backend,
        };
        guest.run();
        guest
    }

    /// Gives a receive buffer; each lies in the place of its descriptor.
    pub(super) fn give(&mut self, pair: usize, length: u32) {
        let lane = &mut self.receive[pair];
        let index = lane.driver.next_descriptor;
        let address = place(RECEIVED, pair) + u64::from(index) * u64::from(BUFFER_BYTES);
        lane.driver.request(&[into(address, length)]);
        lane.notify();
    }

    /// Sends a frame, and returns when the device has given it back.
    pub(super) fn send(&mut self, pair: usize, frame: &[u8]) {
        let address = place(SENT, pair);
        let written = self.memory.write_slice(frame, GuestAddress(address));
        written.expect("in memory");
        let lane = &mut self.transmit[pair];
        let length = u32::try_from(frame.len()).expect("short");
        lane.driver.request(&[out(address, length)]);
        lane.notify();
        self.until(|guest| guest.transmit[pair].driver.take_used());
    }

    /// The next IPv4 frame of a pair, its header in front. Its buffer is given again.
    pub(super) fn receive(&mut self, pair: usize) -> Vec<u8> {
        self.until(|guest| guest.try_receive(pair))
    }

    /// The pair, of the first `pairs`, that has an IPv4 frame.
    pub(super) fn receive_any(&mut self, pairs: usize) -> usize {
        self.until(|guest| (0..pairs).find(|pair| guest.try_receive(*pair).is_some()))
    }

    fn try_receive(&mut self, pair: usize) -> Option<Vec<u8>> {
        loop {
            let (head, length) = self.receive[pair].driver.take_used()?;
            let address = place(RECEIVED, pair) + u64::from(head) * u64::from(BUFFER_BYTES);
            let mut frame = vec![0; usize::try_from(length).expect("short")];
            let read = self.memory.read_slice(&mut frame, GuestAddress(address));
            read.expect("in memory");
            self.give(pair, BUFFER_BYTES);
            assert_eq!(frame[10..12], [1, 0], "one buffer is enough for each");
            // The host's kernel may have something to say of its own.
            if frame[24..26] == [8, 0] {
                return Some(frame);
            }
        }
    }

    /// Asks for so many pairs; the device's answer.
    pub(super) fn command(&mut self, pairs: u16) -> u8 {
        let [low, high] = pairs.to_le_bytes();
        let written = self
            .memory
            .write_slice(&[4, 0, low, high, 0xee], GuestAddress(COMMAND));
        written.expect("in memory");
        let lane = self.control.as_mut().expect("it has several pairs");
        let pieces = [out(COMMAND, 2), out(COMMAND + 2, 2), into(COMMAND + 4, 1)];
        lane.driver.request(&pieces);
        lane.notify();
        self.until(|guest| guest.control.as_mut()?.driver.take_used());
        let mut answer = [0];
        let read = self
            .memory
            .read_slice(&mut answer, GuestAddress(COMMAND + 4));
        read.expect("in memory");
        answer[0]
    }

    /// Runs the device until it sleeps.
    pub(super) fn run(&mut self) {
        while self.is_awake() {
            self.backend.run().expect("sound rings");
        }
    }

    pub(super) fn is_awake(&self) -> bool {
        super::wait(&*self.backend, Instant::now())
    }

    fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(result) = done(self) {
                return result;
            }
            assert!(super::wait(&*self.backend, deadline), "nothing came");
            self.backend.run().expect("sound rings");
        }
    }
}

fn place(start: u64, pair: usize) -> u64 {
    start + u64::try_from(pair).expect("small") * 0x1_0000
}

/// A datagram from 192.0.2.2, port 6000, to 192.0.2.1, port 5000, in a frame with an empty header in front.
pub(super) fn udp_frame(payload: &[u8]) -> Vec<u8> {
    let datagram = u16::try_from(payload.len() + 8).expect("short");
    let [low, high] = (datagram + 20).to_be_bytes();
    let mut ip = vec![
        0x45, 0, low, high, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1,
    ];
    let words = ip
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).expect("ten words");
    ip[10..12].copy_from_slice(&(!folded).to_be_bytes());
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend(HOST_MAC);
    frame.extend(GUEST_MAC);
    frame.extend([8, 0]);
    frame.extend(ip);
    // No checksum, which IPv4 allows.
    for field in [6000, 5000, datagram, 0] {
        frame.extend(u16::to_be_bytes(field));
    }
    frame.extend(payload);
    frame
}
