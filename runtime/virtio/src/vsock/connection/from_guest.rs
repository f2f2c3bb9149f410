//! What a guest's packet does to a [`Connection`]. The packet was checked by `packet`; here it is held against the connection's
//! state.

use std::{io, os::fd::AsFd};

use super::{Connection, Phase, after};
use crate::{
    queue::transfer::Readable,
    vsock::{
        greeting, limits,
        packet::{HEADER_BYTES, Op, Packet, Sides},
    },
};

impl Connection {
    /// Takes a packet that is for this connection. `bytes` is all of it.
    pub(in crate::vsock) fn take(&mut self, packet: &Packet, bytes: &mut Readable) {
        self.outbound.learn(packet.buf_alloc, packet.fwd_cnt);
        self.owed.credit_requested &= self.outbound.is_tight();
        match (&self.phase, packet.op) {
            (Phase::Resetting, Op::Reset) => self.phase = Phase::Over,
            // The RST that it is owed answers everything.
            (Phase::Resetting, _) => {}
            (_, Op::Reset) => self.reset_by_guest(),
            (Phase::Asked, Op::Response) => self.answered(),
            (Phase::Open, Op::Data) => self.data(packet.payload, bytes),
            (Phase::Open, Op::Shutdown) => self.shut_by_guest(packet.sides),
            (Phase::Open, Op::CreditRequest) => self.owed.credit_update = true,
            (Phase::Open, Op::CreditUpdate) => {}
            _ => self.reset(),
        }
    }

    fn answered(&mut self) {
        if let Err(_left) = greeting::answer(self.client.socket.as_fd(), self.ports.host) {
            return self.reset();
        }
        self.phase = Phase::Open;
        self.deadline = None;
        // Bytes behind the greeting were reported with it.
        self.client.readable = true;
    }

    pub(super) fn reset_by_guest(&mut self) {
        if self.backlog.is_empty() {
            self.phase = Phase::Over;
            return;
        }
        self.phase = Phase::Draining;
        self.deadline = after(limits::DRAIN_DEADLINE);
        self.shut(Sides::RECEIVE);
    }

    fn data(&mut self, payload: usize, bytes: &mut Readable) {
        let allowed = !self.heard.contains(Sides::SEND);
        if !allowed || self.inbound.receive(payload).is_err() {
            return self.reset();
        }
        if self.client.gone {
            self.inbound.forward(payload);
            return;
        }
        let sent = match self.send_directly(payload, bytes) {
            Ok(sent) => sent,
            Err(_left) => {
                self.inbound.forward(payload);
                return self.client_gone();
            }
        };
        self.progress(sent);
        let left = payload - sent;
        // The payload was checked against the packet, and the room by credit; a failure is the guest's in either case.
        if left > 0 && self.backlog.take(bytes, HEADER_BYTES + sent, left).is_err() {
            self.reset();
        }
    }

    /// From guest memory to the client's socket, unless others wait before it.
    fn send_directly(&self, payload: usize, bytes: &mut Readable) -> io::Result<usize> {
        if !self.backlog.is_empty() || payload == 0 {
            return Ok(0);
        }
        let range = HEADER_BYTES..HEADER_BYTES + payload;
        match bytes.send(self.client.socket.as_fd(), range) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            // A socket that takes nothing of something is as full as one that says so.
            sent => sent,
        }
    }

    fn shut_by_guest(&mut self, sides: Sides) {
        let before = self.heard;
        self.heard = before.and(sides);
        self.owed.credit_update &= !self.heard.contains(Sides::SEND);
        if self.heard.contains(Sides::RECEIVE) && !before.contains(Sides::RECEIVE) {
            self.held.discard();
            self.client.ended = true;
            self.shut(Sides::RECEIVE);
        }
        if self.backlog.is_empty() {
            self.drained();
        } else if self.heard == Sides::BOTH {
            self.deadline = after(limits::DRAIN_DEADLINE);
        }
    }
}
