//! Brings guest packets and client events to their connections, and asks the connections in turn what to send. Main type:
//! [`Muxer`]. Above: `backend`, which owns the queues. Below: `table`, `connection`, `packet`, `poll`.
//!
//! What it holds is bounded whatever the guest does: the guest can't open connections, each connection's bytes are bounded by
//! credit, and replies to packets of no connection wait in a short list; while that is full, [`Muxer::can_answer`] keeps more
//! packets from coming in.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use rustix::event::epoll::EventFlags;

use super::{
    connection::Connection,
    limits,
    packet::{HEADER_BYTES, Header, Op, Packet, Ports, Refused, STREAM},
    poll::{Poll, Source, Timer},
    table::Table,
};
use crate::queue::{
    buffers::PastEnd,
    transfer::{Readable, Writable},
};

/// All connections of one guest.
#[derive(Debug)]
pub(super) struct Muxer {
    guest_cid: u64,
    poll: Poll,
    timer: Timer,
    table: Table,
    /// Local ports of connections that have something for the guest, in the order of their turns.
    turns: VecDeque<u32>,
    /// What the first of them has sent in this turn.
    turn_bytes: u32,
    resets: VecDeque<Reset>,
}

/// A RST for ports that are no connection.
#[derive(Debug, Clone, Copy)]
struct Reset {
    ports: Ports,
    kind: u16,
}

impl Muxer {
    /// `generation` is any number: see [`Table::new`].
    pub(super) fn new(guest_cid: u64, generation: u32) -> io::Result<Self> {
        let (poll, timer) = (Poll::new()?, Timer::new()?);
        poll.watch(&timer, Source::Timer)?;
        Ok(Self {
            guest_cid,
            poll,
            timer,
            table: Table::new(generation),
            turns: VecDeque::new(),
            turn_bytes: 0,
            resets: VecDeque::new(),
        })
    }

    pub(super) fn poll(&mut self) -> &mut Poll {
        &mut self.poll
    }

    pub(super) fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    /// A client has come. When there are too many, here or watched by this user (epoll(7)), it is closed, which
    /// it sees as refusal.
    pub(super) fn welcome(&mut self, client: OwnedFd) -> io::Result<()> {
        let Some(connection) = self.table.add(client) else {
            return Ok(());
        };
        let (port, deadline) = (connection.host_port(), connection.deadline());
        let (interest, socket) = (connection.interest(), connection.socket());
        if let Err(_no_watch_left) = self.poll.add(socket, Source::Connection(port), interest) {
            self.table.remove(port);
            return Ok(());
        }
        deadline.map_or(Ok(()), |deadline| self.timer.no_later(deadline))
    }

    /// A client's socket has news.
    pub(super) fn client_ready(&mut self, port: u32, news: EventFlags) -> io::Result<()> {
        self.update(port, |connection| connection.client_ready(news))
    }

    /// May the next guest packet be taken? Not while there might be no room for its answer.
    pub(super) fn can_answer(&self) -> bool {
        self.resets.len() < limits::RESETS
    }

    /// A packet of the guest.
    pub(super) fn take(&mut self, bytes: &mut Readable) -> io::Result<()> {
        let mut header = [0; HEADER_BYTES];
        let Ok(()) = bytes.copy_to(0, &mut header) else {
            // Not even a header: nobody to answer.
            return Ok(());
        };
        let behind = bytes.len() - HEADER_BYTES;
        match Header::decode(&header).check(self.guest_cid, behind) {
            Ok(packet) => self.deliver(&packet, bytes),
            Err(Refused::Drop) => Ok(()),
            Err(Refused::Reset { ports, kind }) => self.reject(ports, kind),
        }
    }

    /// Does anyone have something for the guest?
    pub(super) fn has_packets(&self) -> bool {
        !self.resets.is_empty() || !self.turns.is_empty()
    }

    /// Writes the next packet into a buffer of more than [`HEADER_BYTES`] and says how long it is, or that there is none.
    pub(super) fn fill(&mut self, buffer: &mut Writable) -> Result<Option<usize>, FillError> {
        if let Some(reset) = self.resets.pop_front() {
            let mut header = Header::to_guest(self.guest_cid, reset.ports, Op::Reset);
            header.kind = reset.kind;
            header.buf_alloc = 0;
            buffer.copy_from(0, &header.encode())?;
            return Ok(Some(HEADER_BYTES));
        }
        while let Some(port) = self.turns.front().copied() {
            let Some(connection) = self.table.get(port) else {
                self.end_turn();
                continue;
            };
            let length = connection.fill(self.guest_cid, buffer)?;
            let sent = length.map_or(Ok(0), u32::try_from).unwrap_or(u32::MAX);
            self.turn_bytes = self.turn_bytes.saturating_add(sent);
            let full_turn = self.turn_bytes >= limits::TURN_BYTES;
            if full_turn || !connection.wants_turn() || length.is_none() {
                connection.queued = false;
                self.end_turn();
            }
            self.settle(port)?;
            if length.is_some() {
                return Ok(length);
            }
        }
        Ok(None)
    }

    /// Ends what is late, and sets the timer for the rest.
    pub(super) fn expire(&mut self, now: Instant) -> io::Result<()> {
        self.timer.rang();
        let late = |connection: &Connection| connection.deadline().is_some_and(|due| due <= now);
        for port in self.table.ports(late) {
            self.update(port, |connection| connection.expire(now))?;
        }
        let next = self.table.iter().filter_map(Connection::deadline).min();
        next.map_or(Ok(()), |next| self.timer.no_later(next))
    }

    /// The guest is about to forget all its connections: so do we. Clients that it has not heard of stay.
    pub(super) fn forget_guest(&mut self) -> io::Result<()> {
        self.resets.clear();
        for port in self.table.ports(|_any| true) {
            self.update(port, Connection::forgotten)?;
        }
        Ok(())
    }

    fn deliver(&mut self, packet: &Packet, bytes: &mut Readable) -> io::Result<()> {
        let ports = packet.ports;
        match packet.op {
            _ if self.knows(ports) => {
                self.update(ports.host, |connection| connection.take(packet, bytes))
            }
            Op::Reset => Ok(()),
            // Requests too: the host opens connections, the guest does not.
            _ => self.reject(ports, STREAM),
        }
    }

    /// Answers a packet that is of no use. If its ports are a connection's, that is lost, and its own RST is the answer.
    fn reject(&mut self, ports: Ports, kind: u16) -> io::Result<()> {
        if self.knows(ports) {
            return self.update(ports.host, Connection::reset);
        }
        self.resets.push_back(Reset { ports, kind });
        Ok(())
    }

    fn knows(&mut self, ports: Ports) -> bool {
        let connection = self.table.get(ports.host);
        connection.is_some_and(|connection| connection.is_known_as(ports))
    }

    /// Does something to a connection, and what follows from it.
    fn update(&mut self, port: u32, change: impl FnOnce(&mut Connection)) -> io::Result<()> {
        let Some(connection) = self.table.get(port) else {
            return Ok(());
        };
        change(connection);
        self.settle(port)
    }

    /// Brings everything outside a connection in line with its state.
    fn settle(&mut self, port: u32) -> io::Result<()> {
        let Some(connection) = self.table.get(port) else {
            return Ok(());
        };
        if connection.is_over() {
            self.remove(port);
            return Ok(());
        }
        if connection.wants_turn() && !connection.queued {
            connection.queued = true;
            self.turns.push_back(port);
        }
        if let Some(interest) = connection.new_interest() {
            let source = Source::Connection(port);
            self.poll.change(connection.socket(), source, interest)?;
        }
        match connection.deadline() {
            Some(deadline) => self.timer.no_later(deadline),
            None => Ok(()),
        }
    }

    fn remove(&mut self, port: u32) {
        self.table.remove(port);
        if self.turns.front() == Some(&port) {
            self.turn_bytes = 0;
        }
        self.turns.retain(|queued| *queued != port);
    }

    fn end_turn(&mut self) {
        self.turns.pop_front();
        self.turn_bytes = 0;
    }
}

impl AsFd for Muxer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

/// Why no packet could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FillError {
    /// The buffer is shorter than its own count.
    #[error("write into the guest's buffer")]
    Buffer(#[from] PastEnd),
    /// The kernel refused a change of what we wait for.
    #[error("follow up a connection's packet")]
    Host(#[from] io::Error),
}
