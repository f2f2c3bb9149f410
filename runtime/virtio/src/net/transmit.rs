//! Frames from the guest to a tap (virtio 1.3, section 5.1.6.2). Main type: [`Transmitter`]. Above: `serve`. Below: the queue.
//!
//! A frame costs one writev(2), of up to 64 KiB where the guest leaves segmentation to the host, and the driver hears of a burst once.
//! The kernel checks the header against the frame and refuses what does not fit (virtio_net_hdr_to_skb); such a frame is dropped, as a
//! frame on a real link would be.

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use machine::{memory::GuestRam, tap::HEADER_BYTES};

use super::{ETHERNET_BYTES, poll::Waits};
use crate::{
    backend::{BackendError, Kick},
    device::ActiveQueue,
    limits,
    queue::{Ring, chain::Chain},
};

/// Shortest frame that is one: header, two addresses and a type.
const SHORTEST_BYTES: usize = HEADER_BYTES + 14;

/// Longest frame of any link: the kernel would allocate for more, and then refuse it.
const LONGEST_BYTES: usize = HEADER_BYTES + ETHERNET_BYTES + 0xffff;

/// A transmit queue at work.
#[derive(Debug)]
pub(super) struct Transmitter {
    ring: Ring,
    kick: Kick,
    chain: Chain,
}

impl Transmitter {
    pub(super) fn new(index: usize, memory: &GuestRam, queue: ActiveQueue) -> Self {
        let (ring, kick) = Ring::new(index, memory.clone(), queue);
        Self {
            chain: ring.chain(),
            ring,
            kick,
        }
    }

    /// Takes frames from the guest, up to a bound.
    pub(super) fn turn(&mut self, tap: BorrowedFd<'_>) -> Result<Waits, BackendError> {
        self.ring.disarm()?;
        let mut waits = Waits::No;
        for _ in 0..limits::NIC_FRAMES_PER_RUN {
            waits = self.step(tap)?;
            if waits != Waits::No {
                break;
            }
        }
        self.ring.signal()?;
        Ok(waits)
    }

    fn step(&mut self, tap: BorrowedFd<'_>) -> Result<Waits, BackendError> {
        if !self.ring.pop(&mut self.chain)? {
            let came = self.ring.arm()?;
            return Ok(if came { Waits::No } else { Waits::ForGuest });
        }
        let frame = &mut self.chain.readable;
        if (SHORTEST_BYTES..=LONGEST_BYTES).contains(&frame.len())
            && let Err(error) = frame.write_frame(tap)
            && error.kind() == io::ErrorKind::WouldBlock
        {
            // The tap is full. The frame stays in the queue until there is room.
            self.ring.put_back();
            return Ok(Waits::ForTap);
        }
        // Sent, or dropped for its form, or because the interface is down or gone.
        self.ring.push(self.chain.head(), 0)?;
        Ok(Waits::No)
    }
}

impl AsFd for Transmitter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kick.as_fd()
    }
}
