//! Buffers that a network driver has given for frames to come, of several requests in a row. Main type: [`Stock`]. Above: the network
//! device's receiver. Below: [`buffers`](super::buffers).
//!
//! Nobody knows how long the next frame is, and a tap cuts off what does not fit. So a frame is read into the whole stock at once, and
//! what does not fit there into a spill of our own: one system call and no copy for a frame that fits, and none that is lost.
#![expect(
    unsafe_code,
    reason = "the kernel writes guest memory for us: readv(2)"
)]

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use machine::memory::GuestRam;

use super::{
    Used,
    buffers::{Buffers, MOST_PIECES_PER_CALL, PastEnd},
    chain::Chain,
    transfer::{moved, piece_count, uninterrupted},
};

/// Most pieces of one request: 256 descriptors, the largest queue's, each across the border of two regions of memory.
const MOST_PIECES_PER_CHAIN: usize = 512;

/// Requests whose writable parts wait for frames, in the driver's order.
#[derive(Debug)]
pub struct Stock {
    buffers: Buffers,
    chains: VecDeque<Part>,
    /// As long as the longest frame, and a byte: a frame that reaches it is too long.
    spill: Vec<u8>,
    /// How much of the last frame went into the buffers.
    direct: usize,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    head: u16,
    length: usize,
    pieces: usize,
}

impl Stock {
    /// An empty one for frames of up to `longest` bytes, of a queue of up to `chains` requests.
    #[must_use]
    pub fn new(memory: GuestRam, chains: u16, longest: usize) -> Self {
        Self {
            buffers: Buffers::new(memory, MOST_PIECES_PER_CALL),
            chains: VecDeque::with_capacity(chains.into()),
            spill: vec![0; longest + 1],
            direct: 0,
        }
    }

    /// Bytes that it has room for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Has it no request?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// How many requests it has.
    #[must_use]
    pub fn chains(&self) -> usize {
        self.chains.len()
    }

    /// Can it take one more request, whatever its form? System calls take so many pieces only.
    #[must_use]
    pub fn takes_more(&self) -> bool {
        self.buffers.pieces() + MOST_PIECES_PER_CHAIN < MOST_PIECES_PER_CALL
    }

    /// Adds the writable part of a request.
    pub fn add(&mut self, chain: &Chain) {
        let part = Part {
            head: chain.head(),
            length: chain.writable.len(),
            pieces: chain.writable.0.pieces(),
        };
        self.buffers.append(&chain.writable.0);
        self.chains.push_back(part);
    }

    /// Reads one frame with its header from a tap and says how long it is. One longer than the longest is cut off.
    ///
    /// # Errors
    /// `WouldBlock` when the tap has none; else when it is gone.
    pub fn read_frame(&mut self, tap: BorrowedFd<'_>) -> io::Result<usize> {
        self.direct = self.buffers.len();
        let room = self.spill.len().saturating_sub(self.direct);
        let spill = self.spill.get_mut(..room).unwrap_or_default();
        self.buffers.with_own(spill, |pieces| {
            let (start, count) = (pieces.as_ptr(), piece_count(pieces)?);
            uninterrupted(|| {
                // SAFETY: (1) `start` and `count` are of one live slice of pieces; (2) all but the last lie in guest memory
                // that outlives the call, and nobody in this process holds a reference into it; (3) the last is `spill`,
                // which is borrowed for the call and touched by nobody else.
                moved(unsafe { libc::readv(tap.as_raw_fd(), start, count) })
            })
        })
    }

    /// Brings what was spilled of the last frame into the buffers; false when there is not enough room yet.
    ///
    /// # Errors
    /// Never for a length that [`Stock::read_frame`] gave.
    pub fn settle(&mut self, length: usize) -> Result<bool, PastEnd> {
        if length > self.buffers.len() {
            return Ok(false);
        }
        if let Some(spilled) = self.spill.get(..length.saturating_sub(self.direct)) {
            self.buffers.copy_in(self.direct, spilled)?;
            self.direct = self.direct.max(length);
        }
        Ok(true)
    }

    /// Writes over bytes of the first requests.
    ///
    /// # Errors
    /// When there are not that many.
    pub fn copy_from(&self, start: usize, data: &[u8]) -> Result<(), PastEnd> {
        self.buffers.copy_in(start, data)
    }

    /// How many requests the first `length` bytes lie in.
    #[must_use]
    pub fn chains_for(&self, length: usize) -> usize {
        let mut left = length;
        let holds = |part: &&Part| {
            let needed = left > 0;
            left = left.saturating_sub(part.length);
            needed
        };
        self.chains.iter().take_while(holds).count()
    }

    /// Lets go of the requests that the first `length` bytes lie in: adds them to `used`, with their shares.
    pub fn take(&mut self, length: usize, used: &mut Vec<Used>) {
        let mut left = length;
        while left > 0 {
            let Some(part) = self.chains.pop_front() else {
                return;
            };
            self.buffers.remove_front(part.pieces);
            let share = left.min(part.length);
            left -= share;
            used.push(Used {
                head: part.head,
                // A chain holds less than 4 GiB.
                written: u32::try_from(share).unwrap_or(u32::MAX),
            });
        }
    }
}
