//! One connection between a client on the host and a port of the guest. Main type: [`Connection`]. Above: `muxer` brings it
//! events and packets and asks it for the next packet. Below: `credit`, `backlog`, `greeting`. In three parts:
//! [`from_client`], [`from_guest`], [`to_guest`].
//!
//! ```text
//! accepted ─► Greeting ──CONNECT──► Asking ──RESPONSE──► Open ──both sides are done──► Resetting ──RST sent──► Over
//!                │                    │ │                 │ │                              ▲                    ▲
//!                │                    │ └─late, client gone─┼──broken rules, late──────────┘                    │
//!                │                    │                   │ └──RST, bytes left for the client──► Draining ──────┤
//!                └──nonsense, late────┴──RST──────────────┴──RST────────────────────────────────────────────────┘
//! ```

mod from_client;
mod from_guest;
mod to_guest;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{event::epoll::EventFlags, net::Shutdown};

use super::{
    backlog::Backlog,
    credit::{Inbound, Outbound},
    greeting::Greeting,
    limits,
    packet::{Ports, Sides},
};

/// A client's stream and the guest's, joined.
#[derive(Debug)]
pub(super) struct Connection {
    ports: Ports,
    phase: Phase,
    client: Client,
    inbound: Inbound,
    outbound: Outbound,
    /// What the guest sent and the client did not take yet; never more than our `buf_alloc`.
    backlog: Backlog,
    /// What the client sent and the guest had no buffer for; only after a read of more than one packet.
    held: Backlog,
    /// What the guest closed.
    heard: Sides,
    /// What we told the guest to be closed.
    said: Sides,
    owed: Owed,
    deadline: Option<Instant>,
    /// Already among those who want a turn; kept by the muxer.
    pub(super) queued: bool,
}

#[derive(Debug)]
enum Phase {
    /// The client has yet to say where it wants to go. The guest knows nothing.
    Greeting(Greeting),
    /// REQUEST is still to be sent. The guest knows nothing.
    Asking,
    /// REQUEST was sent.
    Asked,
    Open,
    /// The guest is done with it; the client gets the rest.
    Draining,
    /// The guest is owed a RST; the client has seen the end.
    Resetting,
    Over,
}

/// The client's socket and what is known of it. Its events are edge-triggered: what was reported once stays noted here until a
/// call says otherwise, so nothing is asked twice and nothing spins while the guest is slow.
#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    /// There may be something to read: bytes, the end, or an error.
    readable: bool,
    /// Everything it ever sent has been read.
    ended: bool,
    /// It takes nothing any more.
    gone: bool,
    /// The last read was as long as it could be.
    plenty: bool,
    /// We have asked to be told when it takes more.
    waits_for_room: bool,
    /// What we closed of it.
    shut: Sides,
}

/// Packets that the guest is to get besides data.
#[derive(Debug, Default)]
struct Owed {
    credit_update: bool,
    credit_request: bool,
    /// A credit request went out and the guest has not made much room since.
    credit_requested: bool,
}

impl Connection {
    pub(super) fn new(host_port: u32, socket: OwnedFd) -> Self {
        Self {
            ports: Ports {
                host: host_port,
                guest: 0,
            },
            phase: Phase::Greeting(Greeting::default()),
            client: Client {
                socket,
                readable: false,
                ended: false,
                gone: false,
                plenty: false,
                waits_for_room: false,
                shut: Sides::NONE,
            },
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            backlog: Backlog::new(limits::BACKLOG_BYTES),
            held: Backlog::new(limits::TURN_BYTES),
            heard: Sides::NONE,
            said: Sides::NONE,
            owed: Owed::default(),
            deadline: after(limits::GREETING_DEADLINE),
            queued: false,
        }
    }

    pub(super) fn host_port(&self) -> u32 {
        self.ports.host
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.client.socket.as_fd()
    }

    /// Is this the connection of these ports, and has the guest heard of it, and not said goodbye?
    pub(super) fn is_known_as(&self, ports: Ports) -> bool {
        let known = matches!(self.phase, Phase::Asked | Phase::Open | Phase::Resetting);
        known && self.ports == ports
    }

    /// Nothing is left to do: drop it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// When [`Connection::expire`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What epoll is to report from now on, if that changed. Room matters only while something waits for it.
    pub(super) fn new_interest(&mut self) -> Option<EventFlags> {
        let wanted = !self.backlog.is_empty();
        if wanted == self.client.waits_for_room {
            return None;
        }
        self.client.waits_for_room = wanted;
        Some(self.interest())
    }

    pub(super) fn interest(&self) -> EventFlags {
        let always = EventFlags::IN | EventFlags::RDHUP;
        match self.client.waits_for_room {
            true => always | EventFlags::OUT,
            false => always,
        }
    }

    /// Ends what took too long.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.deadline = None;
        match self.phase {
            Phase::Asked | Phase::Open => self.reset(),
            Phase::Greeting(_) | Phase::Asking | Phase::Draining => self.phase = Phase::Over,
            Phase::Resetting | Phase::Over => {}
        }
    }

    /// The guest has lost its memory: it is owed nothing, and the client gets what came before.
    pub(super) fn forgotten(&mut self) {
        match self.phase {
            Phase::Asked | Phase::Open => self.reset_by_guest(),
            Phase::Resetting => self.phase = Phase::Over,
            Phase::Greeting(_) | Phase::Asking | Phase::Draining | Phase::Over => {}
        }
    }

    /// The guest is owed a RST, and the client sees the end at once.
    pub(super) fn reset(&mut self) {
        self.phase = Phase::Resetting;
        self.deadline = None;
        self.backlog.discard();
        self.held.discard();
        self.shut(Sides::BOTH);
    }

    /// Closes directions of the client's socket, each once: every shutdown(2) of a unix socket is news to epoll, so repeating it
    /// in answer to such news would never end.
    fn shut(&mut self, sides: Sides) {
        if self.client.shut.contains(sides) {
            return;
        }
        self.client.shut = self.client.shut.and(sides);
        let how = match sides {
            Sides::SEND => Shutdown::Write,
            Sides::RECEIVE => Shutdown::Read,
            _ => Shutdown::Both,
        };
        // ENOTCONN, the only failure there is: the client has left and knows.
        if let Err(_left) = rustix::net::shutdown(&self.client.socket, how) {}
    }
}

/// A deadline from now on.
fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}
