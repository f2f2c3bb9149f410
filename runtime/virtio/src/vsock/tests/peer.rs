//! A stream socket in the test guest, with credit as Linux keeps it. Main type: [`Peer`]. It checks at every packet that the
//! device keeps to the credit it was given.

use std::collections::HashMap;

use super::guest::{Got, Guest, from_guest};
use crate::vsock::packet::{Header, Op, Ports, Sides};

/// Linux announces room when less than this is left of its buffer by the sender's count.
const LINUX_LOW: u32 = 64 * 1024;
/// Linux's largest packet.
const LINUX_MAX: usize = 64 * 1024;

/// One end of a stream in the guest.
#[derive(Debug)]
pub(in crate::vsock) struct Peer {
    pub(in crate::vsock) ports: Ports,
    /// What came and the program in the guest has not read.
    pub(in crate::vsock) unread: Vec<u8>,
    /// What the host closed.
    pub(in crate::vsock) ended: u32,
    pub(in crate::vsock) reset: bool,
    buf_alloc: u32,
    received: u32,
    forwarded: u32,
    told: u32,
    sent: u32,
    host_buf_alloc: u32,
    host_forwarded: u32,
}

impl Peer {
    pub(in crate::vsock) fn new(ports: Ports, buf_alloc: u32) -> Self {
        Self {
            ports,
            unread: Vec::new(),
            ended: 0,
            reset: false,
            buf_alloc,
            received: 0,
            forwarded: 0,
            told: 0,
            sent: 0,
            host_buf_alloc: 256 * 1024,
            host_forwarded: 0,
        }
    }

    /// A packet for this stream. May call for an answer.
    pub(in crate::vsock) fn take(&mut self, got: &Got) -> Option<Header> {
        self.host_buf_alloc = got.header.buf_alloc;
        self.host_forwarded = got.header.fwd_cnt;
        if got.header.op == Op::Data as u16 {
            assert_eq!(self.ended & Sides::SEND.bits(), 0, "data after the end");
            assert!(!got.payload.is_empty(), "an empty packet");
            self.received = self.received.wrapping_add(got.header.length);
            let waiting = self.received.wrapping_sub(self.told);
            assert!(waiting <= self.buf_alloc, "the device exceeds its credit");
            self.unread.extend(&got.payload);
        }
        if got.header.op == Op::Shutdown as u16 {
            self.ended |= got.header.flags;
        }
        self.reset |= got.header.op == Op::Reset as u16;
        let asked = got.header.op == Op::CreditRequest as u16;
        asked.then(|| self.header(Op::CreditUpdate))
    }

    /// The program reads up to so many bytes. May tell the host of the room.
    pub(in crate::vsock) fn read(&mut self, most: usize) -> (Vec<u8>, Option<Header>) {
        let rest = self.unread.split_off(most.min(self.unread.len()));
        let bytes = std::mem::replace(&mut self.unread, rest);
        let count = u32::try_from(bytes.len()).expect("a small read");
        self.forwarded = self.forwarded.wrapping_add(count);
        let news = self.forwarded.wrapping_sub(self.told);
        let low = self.buf_alloc.saturating_sub(news) < LINUX_LOW || self.unread.is_empty();
        let update = (news > 0 && low).then(|| self.header(Op::CreditUpdate));
        (bytes, update)
    }

    /// A data packet with as much of `bytes` as the host has room for.
    pub(in crate::vsock) fn write(&mut self, bytes: &[u8]) -> Option<(Header, usize)> {
        let room = self.host_buf_alloc - self.sent.wrapping_sub(self.host_forwarded);
        let count = bytes.len().min(room as usize).min(LINUX_MAX);
        if count == 0 {
            return None;
        }
        self.sent = self
            .sent
            .wrapping_add(u32::try_from(count).expect("a small packet"));
        Some((self.header(Op::Data), count))
    }

    /// May it send now?
    pub(in crate::vsock) fn has_room(&self) -> bool {
        self.host_buf_alloc > self.sent.wrapping_sub(self.host_forwarded)
    }

    pub(in crate::vsock) fn header(&mut self, op: Op) -> Header {
        self.told = self.forwarded;
        Header {
            buf_alloc: self.buf_alloc,
            fwd_cnt: self.forwarded,
            ..from_guest(self.ports, op)
        }
    }
}

/// Gives every waiting packet to its stream and sends the answers; buffers are posted again.
pub(in crate::vsock) fn dispatch(guest: &mut Guest, peers: &mut HashMap<u32, Peer>) -> usize {
    let mut count = 0;
    while let Some(got) = guest.next() {
        count += 1;
        guest.post(1, 3776);
        let Some(peer) = peers.get_mut(&got.header.src_port) else {
            continue;
        };
        if let Some(answer) = peer.take(&got) {
            guest.send(answer, &[]);
        }
    }
    count
}
