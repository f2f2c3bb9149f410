//! A [`Connection`]'s dealings with its client's socket: the greeting, room for what waits, and how the client leaves. Reading
//! for the guest is in [`to_guest`](super::to_guest).

use std::{io, os::fd::AsFd};

use rustix::event::epoll::EventFlags;

use super::{Connection, Phase, after};
use crate::vsock::{greeting::Heard, limits, packet::Sides};

impl Connection {
    /// The client's socket has news.
    pub(in crate::vsock) fn client_ready(&mut self, news: EventFlags) {
        let closed = EventFlags::HUP | EventFlags::ERR;
        if news.intersects(closed | EventFlags::IN | EventFlags::RDHUP) {
            self.client.readable = true;
        }
        if let Phase::Greeting(greeting) = &mut self.phase {
            match greeting.hear(self.client.socket.as_fd()) {
                Heard::Part => {}
                Heard::Nonsense => self.phase = Phase::Over,
                Heard::Port(port) => self.ask(port),
            }
        }
        if news.intersects(closed) {
            self.client_gone();
        }
        if news.contains(EventFlags::OUT) {
            self.flush();
        }
        self.request_credit_if_stuck();
    }

    fn ask(&mut self, port: u32) {
        self.ports.guest = port;
        self.phase = Phase::Asking;
        self.deadline = after(limits::ANSWER_DEADLINE);
    }

    /// The client takes nothing any more. What it sent before still goes to the guest.
    pub(super) fn client_gone(&mut self) {
        match self.phase {
            Phase::Greeting(_) | Phase::Asking | Phase::Draining => self.phase = Phase::Over,
            Phase::Asked => self.reset(),
            Phase::Open => {
                self.client.gone = true;
                // Nobody will ever take it: as good as taken, so that the guest's credit comes back and it doesn't hang.
                self.inbound.forward(self.backlog.len());
                self.backlog.discard();
                self.drained();
            }
            Phase::Resetting | Phase::Over => {}
        }
    }

    /// Sends the client what waits, as much as it takes.
    pub(super) fn flush(&mut self) {
        while !self.backlog.is_empty() {
            match self.backlog.send(self.client.socket.as_fd()) {
                Ok(sent) => self.progress(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_left) => return self.client_gone(),
            }
        }
        self.drained();
    }

    /// The client took bytes.
    pub(super) fn progress(&mut self, bytes: usize) {
        self.inbound.forward(bytes);
        let guest_done = self.heard == Sides::BOTH || matches!(self.phase, Phase::Draining);
        if guest_done {
            self.deadline = after(limits::DRAIN_DEADLINE);
        }
        // Whoever sends no more needs no room.
        let sends = !self.heard.contains(Sides::SEND);
        self.owed.credit_update |= sends && self.inbound.has_news();
    }

    /// Nothing waits for the client: pass on the end if the guest has come to it.
    pub(super) fn drained(&mut self) {
        match self.phase {
            Phase::Draining => self.phase = Phase::Over,
            Phase::Open if self.heard == Sides::BOTH => self.reset(),
            Phase::Open if self.heard.contains(Sides::SEND) => self.shut(Sides::SEND),
            _ => {}
        }
    }
}
