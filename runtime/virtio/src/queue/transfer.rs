//! Moves bytes between a request's buffers and this process, files, sockets, taps and the kernel's random numbers. Main types:
//! [`Readable`] and [`Writable`], the two directions of a [`Chain`](super::chain::Chain). Below: [`buffers`](super::buffers).
//!
//! System calls get guest memory directly. Nothing here allocates once the lists have grown to the queue's size.
#![expect(
    unsafe_code,
    reason = "the kernel reads and writes guest memory for us: preadv(2), pwritev(2), writev(2), recvmsg(2), sendmsg(2), getrandom(2)"
)]

#[cfg(test)]
mod tests;

use std::{
    io,
    ops::Range,
    os::fd::{AsRawFd, BorrowedFd},
};

use libc::{c_int, iovec, msghdr, off_t};
use machine::memory::GuestRam;

use super::buffers::{Buffers, PastEnd};

/// What the driver sends.
#[derive(Debug)]
pub struct Readable(pub(super) Buffers);

/// Where the driver wants the answer.
#[derive(Debug)]
pub struct Writable(pub(super) Buffers);

impl Readable {
    pub(super) fn new(memory: GuestRam, capacity: usize) -> Self {
        Self(Buffers::new(memory, capacity))
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Has it no bytes?
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Copies the bytes from `start` on. The guest may change them afterwards: check the copy.
    ///
    /// # Errors
    /// When there are not that many.
    pub fn copy_to(&self, start: usize, data: &mut [u8]) -> Result<(), PastEnd> {
        self.0.copy_out(start, data)
    }

    /// Writes a range into a file, all of it.
    ///
    /// # Errors
    /// When the range is past the end, or the file refuses.
    pub fn write_to_file(
        &mut self,
        file: BorrowedFd<'_>,
        position: u64,
        range: Range<usize>,
    ) -> io::Result<()> {
        self.0.whole(position, range, |pieces, offset| {
            let (start, count) = (pieces.as_ptr(), piece_count(pieces)?);
            // SAFETY: (1) `start` and `count` are of one live slice of pieces; (2) each piece lies in guest memory that
            // outlives the call; (3) the kernel only reads it.
            let written = unsafe { libc::pwritev(file.as_raw_fd(), start, count, offset) };
            moved(written)
        })
    }

    /// Writes everything to a tap as one frame, with a header in front.
    ///
    /// # Errors
    /// `WouldBlock` when the tap is full; else when the kernel does not take the frame.
    pub fn write_frame(&mut self, tap: BorrowedFd<'_>) -> io::Result<()> {
        let pieces = self.0.window(0..self.0.len()).map_err(past_end)?;
        let (start, count) = (pieces.as_ptr(), piece_count(pieces)?);
        let written = uninterrupted(|| {
            // SAFETY: (1) `start` and `count` are of one live slice of pieces; (2) each piece lies in guest memory that
            // outlives the call; (3) the kernel only reads it.
            moved(unsafe { libc::writev(tap.as_raw_fd(), start, count) })
        })?;
        if written < self.0.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    /// Sends a range, as much as the socket takes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; else when the range is past the end, or the socket refuses.
    pub fn send(&mut self, socket: BorrowedFd<'_>, range: Range<usize>) -> io::Result<usize> {
        let message = message(self.0.window(range).map_err(past_end)?);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        uninterrupted(|| {
            // SAFETY: (1) `message` points to a live list of pieces; (2) each lies in guest memory that outlives the call;
            // (3) the kernel only reads it.
            let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
            moved(sent)
        })
    }
}

impl Writable {
    pub(super) fn new(memory: GuestRam, capacity: usize) -> Self {
        Self(Buffers::new(memory, capacity))
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Has it no bytes?
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Copies `data` to the bytes from `start` on.
    ///
    /// # Errors
    /// When there are not that many.
    pub fn copy_from(&self, start: usize, data: &[u8]) -> Result<(), PastEnd> {
        self.0.copy_in(start, data)
    }

    /// Fills a range from a file, all of it.
    ///
    /// # Errors
    /// When the range is past the end, or the file refuses or is too short.
    pub fn read_from_file(
        &mut self,
        file: BorrowedFd<'_>,
        position: u64,
        range: Range<usize>,
    ) -> io::Result<()> {
        self.0.whole(position, range, |pieces, offset| {
            let (start, count) = (pieces.as_ptr(), piece_count(pieces)?);
            // SAFETY: (1) `start` and `count` are of one live slice of pieces; (2) each piece lies in guest memory that
            // outlives the call; (3) nobody in this process holds a reference into it.
            let read = unsafe { libc::preadv(file.as_raw_fd(), start, count, offset) };
            moved(read)
        })
    }

    /// Receives into a range, as much as the socket has. Zero: the other end has closed (or the range is empty).
    ///
    /// # Errors
    /// `WouldBlock` when it has nothing; else when the range is past the end, or the socket fails.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, range: Range<usize>) -> io::Result<usize> {
        let mut message = message(self.0.window(range).map_err(past_end)?);
        uninterrupted(|| {
            let (socket, message) = (socket.as_raw_fd(), &raw mut message);
            // SAFETY: (1) `message` points to a live list of pieces; (2) each lies in guest memory that outlives the call;
            // (3) nobody in this process holds a reference into it.
            let received = unsafe { libc::recvmsg(socket, message, libc::MSG_DONTWAIT) };
            moved(received)
        })
    }

    /// Fills a range with random numbers of the kernel, without waiting.
    ///
    /// # Errors
    /// When the range is past the end, or the kernel's generator is not seeded yet.
    pub fn fill_with_random(&mut self, range: Range<usize>) -> io::Result<()> {
        self.0.whole(0, range, |pieces, _offset| {
            let Some(piece) = pieces.first() else {
                return Ok(0);
            };
            let (base, length) = (piece.iov_base, piece.iov_len);
            // SAFETY: (1) the piece lies in guest memory that outlives the call; (2) nobody in this process holds a
            // reference into it.
            let filled = unsafe { libc::getrandom(base, length, libc::GRND_NONBLOCK) };
            moved(filled)
        })
    }
}

impl Buffers {
    /// Repeats a system call until the whole range is done. The call gets the rest's pieces and its place in the file.
    fn whole(
        &mut self,
        position: u64,
        range: Range<usize>,
        mut call: impl FnMut(&[iovec], off_t) -> io::Result<usize>,
    ) -> io::Result<()> {
        let Range { mut start, end } = range;
        let mut offset = off_t::try_from(position).map_err(io::Error::other)?;
        while start < end {
            let pieces = self.window(start..end).map_err(past_end)?;
            let done = uninterrupted(|| call(pieces, offset))?;
            if done == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            start += done;
            let moved = off_t::try_from(done).map_err(io::Error::other)?;
            offset = offset
                .checked_add(moved)
                .ok_or(io::ErrorKind::FileTooLarge)?;
        }
        Ok(())
    }
}

fn message(pieces: &[iovec]) -> msghdr {
    // SAFETY: all zeroes is a valid `msghdr`: no address, no pieces, no control data.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    // The kernel does not write the list, though the field's type allows it.
    message.msg_iov = pieces.as_ptr().cast_mut();
    message.msg_iovlen = pieces.len();
    message
}

pub(super) fn piece_count(pieces: &[iovec]) -> io::Result<c_int> {
    c_int::try_from(pieces.len()).map_err(io::Error::other)
}

/// What a system call returned, as a count or the thread's last error.
pub(super) fn moved(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_negative| io::Error::last_os_error())
}

pub(super) fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

pub(super) fn past_end(error: PastEnd) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
