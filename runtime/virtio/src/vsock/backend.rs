//! The socket device at work: its three queues, its listener and its connections on one thread. Main type: [`SocketBackend`].
//! Above: the thread that the monitor chose. Below: `muxer`, `announcer`, `listener`, and the queues.
//!
//! One run looks at everything once, within limits, so that neither the guest nor a client can keep the thread; what is left
//! wakes it again. Doorbells of the receive queue are asked for only while the guest owes us buffers.

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use super::{
    announcer::Announcer,
    limits,
    listener::{Listener, Visit},
    muxer::{FillError, Muxer},
    packet::HEADER_BYTES,
    poll::{self, Source},
};
use crate::{
    backend::{Backend, BackendError, Kick},
    queue::{Ring, chain::Chain},
};

/// The backend of [`Socket`](super::Socket).
#[derive(Debug)]
pub(super) struct SocketBackend {
    receive: Lane,
    transmit: Lane,
    announcer: Announcer,
    listener: Listener,
    muxer: Muxer,
    reset: Arc<OwnedFd>,
    /// Wakes us when work is left.
    again: OwnedFd,
    clients_wait: bool,
    /// Held for epoll.
    _kicks: [Kick; 3],
}

/// What a backend is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) guest_cid: u64,
    pub(super) listener: Listener,
    pub(super) reset: Arc<OwnedFd>,
    /// Receive, transmit and event queue.
    pub(super) queues: [(Ring, Kick); 3],
}

/// A queue with its request in hand.
#[derive(Debug)]
struct Lane {
    ring: Ring,
    chain: Chain,
}

/// Whether one of the tasks of a run has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing to do until something wakes us.
    Done,
    /// There is more; it was somebody else's turn.
    More,
}

impl SocketBackend {
    pub(super) fn new(parts: Parts) -> io::Result<Self> {
        let [
            (receive, receive_kick),
            (transmit, transmit_kick),
            (event, event_kick),
        ] = parts.queues;
        let kicks = [receive_kick, transmit_kick, event_kick];
        let mut muxer = Muxer::new(parts.guest_cid, random()?)?;
        let again = poll::signal()?;
        let poll = muxer.poll();
        for kick in &kicks {
            poll.watch(kick, Source::Work)?;
        }
        poll.watch(&again, Source::Work)?;
        poll.watch(&parts.listener, Source::Listener)?;
        poll.watch(&*parts.reset, Source::TransportReset)?;
        // The queues may hold packets from before this process, whose doorbells rang for another one: look at once.
        poll::wake(again.as_fd())?;
        Ok(Self {
            receive: Lane::new(receive),
            transmit: Lane::new(transmit),
            announcer: Announcer::new(event),
            listener: parts.listener,
            muxer,
            reset: parts.reset,
            again,
            clients_wait: false,
            _kicks: kicks,
        })
    }

    /// Takes the news of everyone we wait for.
    fn news(&mut self) -> Result<(), BackendError> {
        let news = self.muxer.poll().news();
        news.map_err(|source| host("wait for clients and the guest", source))?;
        for number in 0..limits::EVENTS_PER_RUN {
            let Some((source, flags)) = self.muxer.poll().get(number) else {
                break;
            };
            let heard = match source {
                Source::Connection(port) => self.muxer.client_ready(port, flags),
                Source::Timer => self.expire(Instant::now()),
                Source::Listener => {
                    self.clients_wait = true;
                    Ok(())
                }
                Source::TransportReset => self.transport_reset(),
                Source::Work => Ok(()),
            };
            heard.map_err(|source| host("follow up a client's or a timer's event", source))?;
        }
        Ok(())
    }

    pub(super) fn expire(&mut self, now: Instant) -> io::Result<()> {
        // The timer is also the next try for clients that could not be let in.
        self.clients_wait = true;
        self.muxer.expire(now)
    }

    fn transport_reset(&mut self) -> io::Result<()> {
        poll::take_back(self.reset.as_fd());
        self.announcer.raise();
        self.muxer.forget_guest()
    }

    fn let_clients_in(&mut self) -> Result<Rest, BackendError> {
        if !self.clients_wait {
            return Ok(Rest::Done);
        }
        for _ in 0..limits::ACCEPTS_PER_RUN {
            let visit = self.listener.accept();
            let done = match visit.map_err(|source| host("accept a client", source))? {
                Visit::Client(client) => self.muxer.welcome(client),
                Visit::Nobody => {
                    self.clients_wait = false;
                    return Ok(Rest::Done);
                }
                Visit::NoRoom => {
                    self.clients_wait = false;
                    let retry = Instant::now() + limits::ACCEPT_RETRY_DELAY;
                    self.muxer.timer().no_later(retry)
                }
            };
            done.map_err(|source| host("wait for a client, or for its time to be over", source))?;
            if !self.clients_wait {
                return Ok(Rest::Done);
            }
        }
        Ok(Rest::More)
    }

    /// Takes the guest's packets.
    fn take_packets(&mut self) -> Result<Rest, BackendError> {
        let Lane { ring, chain } = &mut self.transmit;
        ring.disarm()?;
        for _ in 0..limits::TRANSMIT_PACKETS_PER_RUN {
            // Stays unlooked at, its doorbell unasked for, until answers have gone out.
            if !self.muxer.can_answer() {
                return Ok(Rest::Done);
            }
            if ring.pop(chain)? {
                let taken = self.muxer.take(&mut chain.readable);
                taken.map_err(|source| host("follow up a guest's packet", source))?;
                ring.push(chain.head(), 0)?;
            } else if !ring.arm()? {
                return Ok(Rest::Done);
            }
        }
        Ok(Rest::More)
    }

    /// Gives the guest its packets.
    fn give_packets(&mut self) -> Result<Rest, BackendError> {
        let Lane { ring, chain } = &mut self.receive;
        ring.disarm()?;
        if !self.announcer.is_open() {
            return Ok(Rest::Done);
        }
        for _ in 0..limits::RECEIVE_PACKETS_PER_RUN {
            if !self.muxer.has_packets() {
                return Ok(Rest::Done);
            }
            if !ring.pop(chain)? {
                match ring.arm()? {
                    true => continue,
                    false => return Ok(Rest::Done),
                }
            }
            if chain.writable.len() <= HEADER_BYTES {
                // No use for a packet with data; the driver gets it back.
                ring.push(chain.head(), 0)?;
                continue;
            }
            match self.muxer.fill(&mut chain.writable).map_err(fill_error)? {
                Some(length) => {
                    let written = u32::try_from(length).unwrap_or(u32::MAX);
                    ring.push(chain.head(), written)?;
                }
                None => ring.put_back(),
            }
        }
        Ok(Rest::More)
    }
}

impl Backend for SocketBackend {
    fn wake(&self) -> BorrowedFd<'_> {
        self.muxer.as_fd()
    }

    fn run(&mut self) -> Result<(), BackendError> {
        self.news()?;
        self.announcer.step()?;
        let clients = self.let_clients_in()?;
        let taken = self.take_packets()?;
        let was_blocked = !self.muxer.can_answer();
        let given = self.give_packets()?;
        self.transmit.ring.signal()?;
        self.receive.ring.signal()?;
        let unblocked = was_blocked && self.muxer.can_answer();
        if unblocked || [clients, taken, given].contains(&Rest::More) {
            let woken = poll::wake(self.again.as_fd());
            woken.map_err(|source| host("leave work for later", source))?;
        }
        Ok(())
    }
}

impl Lane {
    fn new(ring: Ring) -> Self {
        Self {
            chain: ring.chain(),
            ring,
        }
    }
}

fn fill_error(error: FillError) -> BackendError {
    let source = match error {
        FillError::Host(source) => source,
        error @ FillError::Buffer(_) => io::Error::other(error),
    };
    host("give the guest a packet", source)
}

fn host(attempt: &'static str, source: io::Error) -> BackendError {
    BackendError::Host { attempt, source }
}

/// Any number. Where the kernel has none yet, any other start is as good: collisions are unlikely, not dangerous.
fn random() -> io::Result<u32> {
    let mut bytes = [0; 4];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(u32::from_ne_bytes(bytes)),
        Err(error) => Err(error.into()),
    }
}
