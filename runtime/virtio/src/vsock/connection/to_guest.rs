//! What a [`Connection`] sends the guest: its next packet, written into a receive buffer. Bytes go from the client's socket to
//! guest memory directly; when the client has more than a small buffer takes, a larger piece is read at once and dealt out.

use std::{io, os::fd::AsFd};

use super::{Connection, Phase, after};
use crate::{
    queue::{buffers::PastEnd, transfer::Writable},
    vsock::{
        limits,
        packet::{HEADER_BYTES, Header, Op, Sides},
    },
};

impl Connection {
    /// Is there a packet for the guest, as far as one can say without looking into the client's socket?
    pub(in crate::vsock) fn wants_turn(&self) -> bool {
        match self.phase {
            Phase::Asking | Phase::Resetting => true,
            Phase::Open => {
                let control = self.owed.credit_update || self.owed.credit_request;
                control || self.has_news_of_the_end() || self.may_have_data()
            }
            Phase::Greeting(_) | Phase::Asked | Phase::Draining | Phase::Over => false,
        }
    }

    /// Writes the next packet into a buffer of more than [`HEADER_BYTES`]; says how long it is. After `None`,
    /// [`Connection::wants_turn`] is false.
    ///
    /// # Errors
    /// When the buffer is too short after all.
    pub(in crate::vsock) fn fill(
        &mut self,
        guest_cid: u64,
        buffer: &mut Writable,
    ) -> Result<Option<usize>, PastEnd> {
        let Some((op, payload)) = self.next_packet(buffer)? else {
            return Ok(None);
        };
        let mut header = Header::to_guest(guest_cid, self.ports, op);
        header.length = u32::try_from(payload).unwrap_or(u32::MAX);
        header.fwd_cnt = self.inbound.tell();
        self.owed.credit_update = false;
        if op == Op::Shutdown {
            header.flags = self.said.bits();
        }
        buffer.copy_from(0, &header.encode())?;
        Ok(Some(HEADER_BYTES + payload))
    }

    /// Out of credit with more to send: ask once, in case the guest would not say on its own.
    pub(super) fn request_credit_if_stuck(&mut self) {
        let open = matches!(self.phase, Phase::Open);
        let stuck = self.has_something() && self.outbound.usable() == 0;
        if open && stuck && !self.owed.credit_requested {
            self.owed.credit_request = true;
            self.owed.credit_requested = true;
        }
    }

    /// Decides what comes next, with the payload already in the buffer. Data first: every packet carries news of credit.
    fn next_packet(&mut self, buffer: &mut Writable) -> Result<Option<(Op, usize)>, PastEnd> {
        match self.phase {
            Phase::Asking => {
                self.phase = Phase::Asked;
                return Ok(Some((Op::Request, 0)));
            }
            Phase::Resetting => {
                self.phase = Phase::Over;
                return Ok(Some((Op::Reset, 0)));
            }
            Phase::Open => {}
            Phase::Greeting(_) | Phase::Asked | Phase::Draining | Phase::Over => return Ok(None),
        }
        if self.may_have_data() {
            let payload = self.fill_data(buffer)?;
            if payload > 0 {
                self.outbound.send(payload);
                self.request_credit_if_stuck();
                return Ok(Some((Op::Data, payload)));
            }
        }
        Ok(self.next_control().map(|op| (op, 0)))
    }

    fn next_control(&mut self) -> Option<Op> {
        if self.has_news_of_the_end() {
            self.said = self.said.and(self.the_end());
            if self.said == Sides::BOTH {
                self.deadline = after(limits::CLOSE_DEADLINE);
            }
            return Some(Op::Shutdown);
        }
        if std::mem::take(&mut self.owed.credit_update) {
            return Some(Op::CreditUpdate);
        }
        let request = std::mem::take(&mut self.owed.credit_request);
        request.then_some(Op::CreditRequest)
    }

    fn may_have_data(&self) -> bool {
        self.has_something() && self.outbound.usable() > 0
    }

    fn has_something(&self) -> bool {
        !self.held.is_empty() || (self.client.readable && !self.client.ended)
    }

    /// What is closed as seen from the guest. The end of the client is found by reading, which happens when nothing is held.
    fn the_end(&self) -> Sides {
        let sends_no_more = match self.client.ended {
            true => Sides::SEND,
            false => Sides::NONE,
        };
        match self.client.gone {
            true => sends_no_more.and(Sides::RECEIVE),
            false => sends_no_more,
        }
    }

    /// A guest that has closed both sides wants no SHUTDOWN but a RST, which comes when the client has everything.
    fn has_news_of_the_end(&self) -> bool {
        self.heard != Sides::BOTH && !self.said.contains(self.the_end())
    }

    /// Puts data behind the header; says how much. Credit and buffer bound it.
    fn fill_data(&mut self, buffer: &mut Writable) -> Result<usize, PastEnd> {
        let credit = self.outbound.usable();
        let room = buffer.len().saturating_sub(HEADER_BYTES).min(credit);
        let socket = self.client.socket.as_fd();
        if self.held.is_empty() {
            let in_bulk = self.client.plenty && buffer.len() < limits::LARGE_BUFFER_BYTES;
            if !in_bulk {
                let range = HEADER_BYTES..HEADER_BYTES + room;
                let received = buffer.receive(socket, range);
                return Ok(self.received(received, room));
            }
            let most = credit.min(self.held.capacity());
            let received = self.held.receive(socket, most);
            self.received(received, most);
        }
        let count = room.min(self.held.len());
        self.held.put(buffer, HEADER_BYTES, count)?;
        Ok(count)
    }

    /// Notes what a read says of the client. Only "nothing there" ends the reading: a short read may have more behind it.
    fn received(&mut self, received: io::Result<usize>, wanted: usize) -> usize {
        match received {
            Ok(0) => self.client.ended = true,
            Ok(count) => {
                self.client.plenty = count >= wanted;
                return count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.client.readable = false;
            }
            Err(_left) => {
                self.client.ended = true;
                self.client_gone();
            }
        }
        self.client.plenty = false;
        0
    }
}
