//! Frames from a tap to the guest (virtio 1.3, section 5.1.6.3 and 5.1.6.4). Main type: [`Receiver`]. Above: `serve`. Below: the
//! queue's stock.
//!
//! A frame costs one readv(2), whatever its length and however many buffers it fills; a burst of frames costs one more, which finds
//! none, and at most one write to interrupt the guest. Nothing is copied or allocated. Only a frame for which the driver has too few
//! buffers at the moment is copied, in part, when they come.

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use machine::{memory::GuestRam, tap::HEADER_BYTES};

use super::poll::Waits;
use crate::{
    backend::{BackendError, Kick},
    device::ActiveQueue,
    limits,
    queue::{Ring, Used, chain::Chain, stock::Stock},
};

/// Offset of `num_buffers` in the header: the tap leaves it to us (5.1.6.4.1).
const BUFFER_COUNT: usize = 10;

/// A receive queue at work.
#[derive(Debug)]
pub(super) struct Receiver {
    ring: Ring,
    kick: Kick,
    chain: Chain,
    stock: Stock,
    used: Vec<Used>,
    longest: usize,
    mergeable: bool,
    /// Length of a frame that was read and not given to the driver yet.
    held: Option<usize>,
}

/// How it went with a frame.
enum Delivery {
    Done,
    /// The driver has too few buffers for it.
    NoRoom,
}

impl Receiver {
    pub(super) fn new(
        index: usize,
        memory: &GuestRam,
        queue: ActiveQueue,
        (longest, mergeable): (usize, bool),
    ) -> Self {
        let (ring, kick) = Ring::new(index, memory.clone(), queue);
        Self {
            chain: ring.chain(),
            stock: Stock::new(memory.clone(), ring.size(), longest),
            used: Vec::with_capacity(ring.size().into()),
            ring,
            kick,
            longest,
            mergeable,
            held: None,
        }
    }

    /// Gives frames to the guest, up to a bound.
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

    /// One frame at most.
    fn step(&mut self, tap: BorrowedFd<'_>) -> Result<Waits, BackendError> {
        self.stock_up()?;
        if self.held.is_none() {
            if self.stock.is_empty() {
                return self.wait_for_buffers();
            }
            match self.stock.read_frame(tap) {
                Ok(length) if (HEADER_BYTES..=self.longest).contains(&length) => {
                    self.held = Some(length);
                }
                // Nothing that the driver is prepared for: the tap's MTU is larger than ours.
                Ok(_) => return Ok(Waits::No),
                // None is there. Or the interface has been deleted: then no more will come, which is the pod's matter.
                Err(_) => return Ok(Waits::ForTap),
            }
        }
        match self.deliver()? {
            Delivery::NoRoom if self.can_get_more() => self.wait_for_buffers(),
            Delivery::NoRoom => {
                // There never will be room. The buffers are for the next frame.
                self.held = None;
                Ok(Waits::No)
            }
            Delivery::Done => Ok(Waits::No),
        }
    }

    /// Takes buffers until the longest frame fits, or as many as there are.
    fn stock_up(&mut self) -> Result<(), BackendError> {
        for _ in 0..self.ring.size() {
            let enough = if self.mergeable {
                self.stock.len() >= self.longest || !self.stock.takes_more()
            } else {
                !self.stock.is_empty()
            };
            if enough || !self.ring.pop(&mut self.chain)? {
                break;
            }
            if self.chain.writable.len() < HEADER_BYTES {
                // Of no use (5.1.6.3.1: each buffer has room for the header at least); the driver gets it back.
                self.ring.push(self.chain.head(), 0)?;
            } else {
                self.stock.add(&self.chain);
            }
        }
        Ok(())
    }

    fn can_get_more(&self) -> bool {
        self.mergeable
            && self.stock.takes_more()
            && self.stock.chains() < usize::from(self.ring.size())
    }

    fn wait_for_buffers(&mut self) -> Result<Waits, BackendError> {
        if self.ring.arm()? {
            return Ok(Waits::No);
        }
        Ok(Waits::ForGuest)
    }

    fn deliver(&mut self) -> Result<Delivery, BackendError> {
        let Some(length) = self.held else {
            return Ok(Delivery::Done);
        };
        let settled = self.stock.settle(length);
        if !settled.map_err(inside)? {
            return Ok(Delivery::NoRoom);
        }
        let count = u16::try_from(self.stock.chains_for(length)).unwrap_or(u16::MAX);
        let written = self.stock.copy_from(BUFFER_COUNT, &count.to_le_bytes());
        written.map_err(inside)?;
        self.held = None;
        self.used.clear();
        self.stock.take(length, &mut self.used);
        self.ring.push_together(&self.used)?;
        Ok(Delivery::Done)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kick.as_fd()
    }
}

/// What can't be: the stock was asked for its length just before.
fn inside(error: crate::queue::buffers::PastEnd) -> BackendError {
    BackendError::Host {
        attempt: "fill a guest's receive buffer",
        source: io::Error::other(error),
    }
}
