//! A list of pieces of guest memory, seen as one run of bytes. Main type: [`Buffers`]. Above: [`transfer`](super::transfer)
//! gives it a direction. Below: vm-memory.
//!
//! Pieces are kept as host addresses, in the form that readv(2) takes, so that disk and socket data go between kernel and
//! guest without a copy in between.
#![expect(
    unsafe_code,
    reason = "pieces of guest memory are kept as host addresses for readv(2) and its relatives"
)]

#[cfg(test)]
mod tests;

use std::{fmt, ops::Range};

use libc::iovec;
use machine::memory::GuestRam;
use thiserror::Error;
use vm_memory::{GuestAddress, GuestMemoryBackend, VolatileSlice};

use super::Broken;

/// How many pieces one system call takes (IOV_MAX of linux/uio.h).
pub(super) const MOST_PIECES_PER_CALL: usize = 1024;

/// Pieces of guest memory in order.
pub struct Buffers {
    /// Keeps alive what `pieces` point into.
    memory: GuestRam,
    /// Each lies inside one region of `memory`; only [`Buffers::add`] puts one in.
    pieces: Vec<iovec>,
    length: usize,
    /// Part of `pieces`, for one system call. Kept to keep its allocation.
    window: Vec<iovec>,
}

// SAFETY: (1) the addresses are valid on every thread, for they point into `memory`, which the value owns a share of;
// (2) what they point to is guest memory, which other threads and the guest may change at any time anyway: it is accessed
// by volatile copies and by the kernel only.
unsafe impl Send for Buffers {}

/// A range that goes past the end of the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("bytes {start}..{end} of buffers that hold {length}")]
pub struct PastEnd {
    /// First byte asked for.
    pub start: usize,
    /// After the last byte asked for.
    pub end: usize,
    /// Bytes that there are.
    pub length: usize,
}

impl Buffers {
    pub(super) fn new(memory: GuestRam, capacity: usize) -> Self {
        Self {
            memory,
            pieces: Vec::with_capacity(capacity),
            length: 0,
            window: Vec::with_capacity(capacity),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.length = 0;
    }

    /// Adds what lies at a guest address. An empty piece adds nothing, wherever it claims to be.
    pub(super) fn add(&mut self, address: GuestAddress, length: u32) -> Result<(), Broken> {
        let length = usize::try_from(length).map_err(|_narrow| Broken::ChainBytes)?;
        for slice in self.memory.get_slices(address, length) {
            let slice = slice.map_err(|_outside| Broken::Memory)?;
            self.pieces.push(iovec {
                iov_base: slice.ptr_guard_mut().as_ptr().cast(),
                iov_len: slice.len(),
            });
        }
        let total = self.length.checked_add(length);
        self.length = total.ok_or(Broken::ChainBytes)?;
        Ok(())
    }

    pub(super) fn copy_out(&self, start: usize, data: &mut [u8]) -> Result<(), PastEnd> {
        let mut done = 0;
        for piece in self.part(start, data.len())? {
            let Some(target) = data.get_mut(done..) else {
                break;
            };
            done += volatile(&piece).copy_to(target);
        }
        Ok(())
    }

    pub(super) fn copy_in(&self, start: usize, data: &[u8]) -> Result<(), PastEnd> {
        let mut done = 0;
        for piece in self.part(start, data.len())? {
            let Some(source) = data.get(done..) else {
                break;
            };
            volatile(&piece).copy_from(source);
            done += piece.iov_len;
        }
        Ok(())
    }

    /// The pieces of a range, for one system call: fewer bytes than asked for when there are more pieces than one call takes.
    pub(super) fn window(&mut self, range: Range<usize>) -> Result<&[iovec], PastEnd> {
        let mut window = std::mem::take(&mut self.window);
        window.clear();
        let length = range.len();
        let part = self.part(range.start, length);
        let part = part.map(|part| window.extend(part.take(MOST_PIECES_PER_CALL)));
        self.window = window;
        part.map(|()| self.window.as_slice())
    }

    /// The pieces of a range, cut to it.
    fn part(&self, start: usize, length: usize) -> Result<impl Iterator<Item = iovec>, PastEnd> {
        let end = start.saturating_add(length);
        if end > self.length {
            return Err(PastEnd {
                start,
                end,
                length: self.length,
            });
        }
        let mut at = 0_usize;
        let parts = self.pieces.iter().map_while(move |piece| {
            let (from, to) = (at.max(start), (at + piece.iov_len).min(end));
            let skip = from.saturating_sub(at);
            let inside = at < end;
            at += piece.iov_len;
            let part = (from < to).then(|| iovec {
                iov_base: piece.iov_base.wrapping_byte_add(skip),
                iov_len: to - from,
            });
            inside.then_some(part)
        });
        Ok(parts.flatten())
    }

    /// How many pieces there are.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Adds the pieces of another list over the same memory.
    pub(super) fn append(&mut self, other: &Self) {
        self.pieces.extend_from_slice(&other.pieces);
        self.length += other.length;
    }

    /// Takes pieces away from the front, with all their bytes.
    pub(super) fn remove_front(&mut self, pieces: usize) {
        for piece in self.pieces.drain(..pieces) {
            self.length -= piece.iov_len;
        }
    }

    /// Calls with all pieces and one more behind them, which is this process's own.
    pub(super) fn with_own<T>(&mut self, own: &mut [u8], call: impl FnOnce(&[iovec]) -> T) -> T {
        self.pieces.push(iovec {
            iov_base: own.as_mut_ptr().cast(),
            iov_len: own.len(),
        });
        let result = call(&self.pieces);
        self.pieces.pop();
        result
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Host addresses stay out of logs.
        let pieces = self.pieces.len();
        write!(
            formatter,
            "Buffers({} bytes in {pieces} pieces)",
            self.length
        )
    }
}

/// A piece as vm-memory's slice, which copies without assuming that nobody else writes.
fn volatile(piece: &iovec) -> VolatileSlice<'_> {
    // SAFETY: (1) `piece` comes from `part`, so it lies within a slice that vm-memory gave for the whole of a piece;
    // (2) `Buffers::memory` keeps the mapping, and the slice is used before the borrow of it ends;
    // (3) all other users of guest memory in this process copy volatilely or let the kernel copy.
    unsafe { VolatileSlice::new(piece.iov_base.cast(), piece.iov_len) }
}
