//! Bytes that wait: a bounded ring of bytes, with memory only from the first byte on. Main type: [`Backlog`]. Above:
//! `connection` has one in each direction. Below: the client's socket.

#[cfg(test)]
mod tests;

use std::{io, os::fd::BorrowedFd};

use rustix::net::{RecvFlags, SendFlags};

use crate::queue::{
    buffers::PastEnd,
    transfer::{Readable, Writable},
};

/// Up to `capacity` bytes, first in, first out.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Empty until first needed, then `capacity` long. Untouched pages of it cost nothing.
    bytes: Box<[u8]>,
    capacity: usize,
    start: usize,
    length: usize,
}

impl Backlog {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            bytes: Box::default(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            start: 0,
            length: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Forgets what waits, and gives the memory back.
    pub(super) fn discard(&mut self) {
        self.bytes = Box::default();
        (self.start, self.length) = (0, 0);
    }

    /// Takes bytes of a packet from `start` to its end. The caller has checked by credit that there is room: what does not fit
    /// is an error.
    ///
    /// # Errors
    /// When the packet has fewer bytes, or there is no room.
    pub(super) fn take(
        &mut self,
        packet: &Readable,
        start: usize,
        count: usize,
    ) -> Result<(), PastEnd> {
        if count > self.capacity - self.length {
            return Err(PastEnd {
                start: self.length,
                end: self.length.saturating_add(count),
                length: self.capacity,
            });
        }
        let (first, second) = self.room(count);
        let cut = first.len();
        packet.copy_to(start, first)?;
        packet.copy_to(start + cut, second)?;
        self.length += count;
        Ok(())
    }

    /// Puts the next `count` bytes at `start` of a packet.
    ///
    /// # Errors
    /// When the packet is too short.
    pub(super) fn put(
        &mut self,
        packet: &Writable,
        start: usize,
        count: usize,
    ) -> Result<(), PastEnd> {
        let (first, second) = self.waiting(count);
        packet.copy_from(start, first)?;
        packet.copy_from(start + first.len(), second)?;
        self.drop_front(count);
        Ok(())
    }

    /// Sends to a socket what it takes at once. `WouldBlock` only when it takes nothing.
    ///
    /// # Errors
    /// What send(2) says.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let (first, _second) = self.waiting(self.length);
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(socket, first, flags))?;
        self.drop_front(sent);
        Ok(sent)
    }

    /// Receives up to `most` bytes from a socket into an empty backlog. Zero: the other end has closed.
    ///
    /// # Errors
    /// What recv(2) says.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let most = most.min(self.capacity - self.length);
        let (first, _second) = self.room(most);
        let flags = RecvFlags::DONTWAIT;
        let (received, _whole) =
            rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut *first, flags))?;
        self.length += received;
        Ok(received)
    }

    /// The next `count` free bytes, in two pieces.
    fn room(&mut self, count: usize) -> (&mut [u8], &mut [u8]) {
        if self.bytes.is_empty() {
            self.bytes = vec![0; self.capacity].into_boxed_slice();
        }
        let end = (self.start + self.length) % self.capacity;
        let (before, after) = self.bytes.split_at_mut(end);
        let first = count.min(after.len());
        let second = (count - first).min(before.len());
        (&mut after[..first], &mut before[..second])
    }

    /// The next `count` waiting bytes, in two pieces.
    fn waiting(&self, count: usize) -> (&[u8], &[u8]) {
        let count = count.min(self.length);
        let (before, after) = self.bytes.split_at(self.start.min(self.bytes.len()));
        let first = count.min(after.len());
        let second = (count - first).min(before.len());
        (&after[..first], &before[..second])
    }

    fn drop_front(&mut self, count: usize) {
        let count = count.min(self.length);
        self.length -= count;
        // Starting over at the front keeps the touched pages few.
        self.start = match self.length {
            0 => 0,
            _ => (self.start + count) % self.capacity,
        };
    }
}
