//! The device at work. Main type: [`FileSystemBackend`]. Above: the monitor's thread for it. Below: the two queues, the socket, and
//! `message`, which says what is well-formed.
//!
//! Requests go out in the order of their queues, replies come in any order. What keeps a request from going out (the socket is full, or
//! too many wait) leaves it in the ring: the guest's queue is the only one that grows.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, atomic::AtomicU64},
};

use rustix::{
    event::{EventfdFlags, epoll::EventFlags},
    io::Errno,
    net::{RecvFlags, SendFlags},
};

use super::{
    Connection,
    message::{self, REPLY_HEADER_BYTES, Refused, Request},
    waiting::{Asked, Nobody, Waiting},
};
use crate::{
    backend::{Backend, BackendError, Kick},
    limits::{
        SHARE_EVENTS_PER_RUN, SHARE_MESSAGE_BYTES, SHARE_QUEUE_ENTRIES, SHARE_REPLIES_PER_RUN,
        SHARE_REQUESTS_PER_RUN,
    },
    poll::{Poll, Token},
    queue::{Ring, chain::Chain},
};

/// What a backend is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) queues: [(Ring, Kick); 2],
    pub(super) connection: Connection,
    pub(super) next: Arc<AtomicU64>,
}

/// The device with a driver.
#[derive(Debug)]
pub(super) struct FileSystemBackend {
    poll: Poll<Source, SHARE_EVENTS_PER_RUN>,
    queues: [Lane; 2],
    waiting: Waiting,
    server: Server,
    /// Empty chains, to be filled again.
    spare: Vec<Chain>,
    /// A request or a reply, copied.
    bytes: Vec<u8>,
    /// Rung when work is left over.
    again: OwnedFd,
}

/// A queue.
#[derive(Debug)]
struct Lane {
    ring: Ring,
    _kick: Kick,
    /// There may be requests in it.
    rang: bool,
}

/// The server, as far as it is known.
#[derive(Debug)]
struct Server {
    connection: Connection,
    /// There may be replies.
    readable: bool,
    /// There may be room for requests.
    writable: bool,
    gone: bool,
}

/// Who is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The driver has requests in this queue.
    Queue(usize),
    /// The server has replies or room, or it is gone.
    Socket,
    /// Work was left over.
    Again,
}

impl Token for Source {
    fn token(self) -> u64 {
        match self {
            Self::Socket => 0,
            Self::Again => 1,
            // One of two.
            Self::Queue(index) => u64::try_from(index).unwrap_or_default() + 2,
        }
    }

    fn from_token(token: u64) -> Self {
        match token {
            0 => Self::Socket,
            1 => Self::Again,
            queue => Self::Queue(usize::try_from(queue - 2).unwrap_or(usize::MAX)),
        }
    }
}

impl FileSystemBackend {
    pub(super) fn new(parts: Parts) -> io::Result<Self> {
        let poll = Poll::new()?;
        let [first, second] = &parts.queues;
        for (index, (_, kick)) in [first, second].into_iter().enumerate() {
            poll.watch(kick, Source::Queue(index))?;
        }
        poll.add(
            &parts.connection.0,
            Source::Socket,
            EventFlags::IN | EventFlags::OUT,
        )?;
        let again = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        poll.watch(&again, Source::Again)?;
        let queues = parts.queues.map(|(ring, kick)| Lane {
            ring,
            _kick: kick,
            rang: true,
        });
        Ok(Self {
            poll,
            queues,
            waiting: Waiting::new(parts.next, usize::from(SHARE_QUEUE_ENTRIES)),
            server: Server {
                connection: parts.connection,
                readable: true,
                writable: true,
                gone: false,
            },
            spare: Vec::new(),
            bytes: vec![0; SHARE_MESSAGE_BYTES],
            again,
        })
    }

    /// Notes who is ready; it is told once.
    fn hear(&mut self) -> io::Result<()> {
        self.poll.news()?;
        for number in 0..SHARE_EVENTS_PER_RUN {
            let Some((source, flags)) = self.poll.get(number) else {
                break;
            };
            match (source, self.queues.as_mut_slice()) {
                (Source::Queue(0), [lane, _]) | (Source::Queue(_), [_, lane]) => lane.rang = true,
                (Source::Socket, _) => {
                    self.server.writable |= flags.contains(EventFlags::OUT);
                    // The end is found by reading.
                    self.server.readable |= flags != EventFlags::OUT;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Brings replies to those who wait for them.
    fn take_replies(&mut self) -> Result<(), BackendError> {
        for _ in 0..SHARE_REPLIES_PER_RUN {
            if !self.server.readable || self.server.gone {
                return Ok(());
            }
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let received = rustix::net::recv(&self.server.connection.0, &mut *self.bytes, flags);
            match received {
                Ok((_, length)) if length > 0 => self.deliver(length)?,
                Err(Errno::AGAIN) => self.server.readable = false,
                Err(Errno::INTR) => {}
                // An end, or as good as one.
                Ok(_) | Err(_) => self.lose()?,
            }
        }
        Ok(())
    }

    /// Gives one reply of this length, which may be more than was received, to the guest.
    fn deliver(&mut self, length: usize) -> Result<(), BackendError> {
        let Some(bytes) = self.bytes.get_mut(..length) else {
            return self.lose();
        };
        let Ok(reply) = message::reply(bytes) else {
            return self.lose();
        };
        let asked = match self.waiting.take(reply.unique) {
            Ok(asked) => asked,
            Err(Nobody::Past) => return Ok(()),
            Err(Nobody::Never) => return self.lose(),
        };
        message::set_unique(bytes, asked.unique);
        if asked.chain.writable.copy_from(0, bytes).is_ok() {
            let written = u32::try_from(length).unwrap_or(u32::MAX);
            return give_back(&mut self.queues, &mut self.spare, asked, written);
        }
        // More than the guest left room for: it may have asked for more than it has room for.
        fail(&mut self.queues, &mut self.spare, asked, Errno::IO)
    }

    /// Takes requests out of a queue while they can go somewhere; true when there may be more.
    fn take_requests(&mut self, index: usize) -> Result<bool, BackendError> {
        for _ in 0..SHARE_REQUESTS_PER_RUN {
            let can_go = self.server.gone || self.server.writable && !self.waiting.is_full();
            let Some(lane) = self.queues.get_mut(index).filter(|_| can_go) else {
                // Room, or a reply, wakes us.
                return Ok(false);
            };
            if !lane.rang {
                return Ok(false);
            }
            let mut chain = self.spare.pop().unwrap_or_else(|| lane.ring.chain());
            if lane.ring.pop(&mut chain)? {
                self.pass_on(index, chain)?;
            } else {
                self.spare.push(chain);
                lane.rang = lane.ring.arm()?;
            }
        }
        Ok(self.queues.get(index).is_some_and(|lane| lane.rang))
    }

    /// Sends one request to the server, or answers it here.
    fn pass_on(&mut self, queue: usize, chain: Chain) -> Result<(), BackendError> {
        let length = chain.readable.len();
        let copied = length.min(SHARE_MESSAGE_BYTES);
        let bytes = self.bytes.get_mut(..copied).unwrap_or_default();
        let copy = chain.readable.copy_to(0, bytes);
        // As many as there are.
        debug_assert!(copy.is_ok(), "{copy:?}");
        let request = message::request(bytes, length, chain.writable.len());
        let asked = |unique| Asked {
            queue,
            unique,
            chain,
        };
        let (asked, answered) = match request {
            Ok(Request::Answered { unique }) => (asked(unique), true),
            Ok(Request::Unanswered) => (asked(0), false),
            Ok(Request::Ignored) => {
                return give_back(&mut self.queues, &mut self.spare, asked(0), 0);
            }
            Err(Refused { unique, error }) => {
                return fail(&mut self.queues, &mut self.spare, asked(unique), error);
            }
        };
        message::set_unique(bytes, self.waiting.next());
        let sent = match self.server.gone {
            true => Err(Errno::NOTCONN),
            false => self.server.send(bytes),
        };
        match sent {
            Ok(()) if answered => self.waiting.add(asked),
            Ok(()) => {
                self.waiting.skip();
                give_back(&mut self.queues, &mut self.spare, asked, 0)?;
            }
            Err(Errno::AGAIN) => {
                self.server.writable = false;
                self.put_back(asked);
            }
            // This one can't be sent; others can.
            Err(error @ (Errno::NOBUFS | Errno::NOMEM | Errno::MSGSIZE)) => {
                fail(&mut self.queues, &mut self.spare, asked, error)?;
            }
            Err(_gone) => {
                fail(&mut self.queues, &mut self.spare, asked, Errno::NOTCONN)?;
                self.lose()?;
            }
        }
        Ok(())
    }

    fn put_back(&mut self, asked: Asked) {
        if let Some(lane) = self.queues.get_mut(asked.queue) {
            lane.ring.put_back();
        }
        self.spare.push(asked.chain);
    }

    /// The server is gone, or as good as that: nobody waits for it any more.
    fn lose(&mut self) -> Result<(), BackendError> {
        self.server.gone = true;
        self.server.connection.cut();
        while let Some(asked) = self.waiting.take_first() {
            fail(&mut self.queues, &mut self.spare, asked, Errno::NOTCONN)?;
        }
        Ok(())
    }

    /// Does one turn; true when there is more to do.
    fn turn(&mut self) -> Result<bool, BackendError> {
        self.take_replies()?;
        let mut more = self.server.readable && !self.server.gone;
        for index in 0..self.queues.len() {
            more |= self.take_requests(index)?;
        }
        for lane in &mut self.queues {
            lane.ring.signal()?;
        }
        Ok(more)
    }
}

impl Server {
    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // A packet goes as a whole or not at all.
        rustix::io::retry_on_intr(|| rustix::net::send(&self.connection.0, bytes, flags)).map(drop)
    }
}

/// Gives a request back with so many bytes of answer.
fn give_back(
    queues: &mut [Lane; 2],
    spare: &mut Vec<Chain>,
    asked: Asked,
    written: u32,
) -> Result<(), BackendError> {
    if let Some(lane) = queues.get_mut(asked.queue) {
        lane.ring.push(asked.chain.head(), written)?;
    }
    spare.push(asked.chain);
    Ok(())
}

/// Answers a request with an error, if there is room for that.
fn fail(
    queues: &mut [Lane; 2],
    spare: &mut Vec<Chain>,
    asked: Asked,
    error: Errno,
) -> Result<(), BackendError> {
    let answer = message::failure(asked.unique, error);
    let written = match asked.chain.writable.copy_from(0, &answer) {
        Ok(()) => u32::try_from(REPLY_HEADER_BYTES).unwrap_or_default(),
        Err(_no_room) => 0,
    };
    give_back(queues, spare, asked, written)
}

impl Backend for FileSystemBackend {
    fn wake(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }

    fn run(&mut self) -> Result<(), BackendError> {
        self.hear().map_err(|source| BackendError::Host {
            attempt: "wait for the guest and a share server",
            source,
        })?;
        if self.turn()? {
            let one = 1_u64.to_ne_bytes();
            let rung = rustix::io::retry_on_intr(|| rustix::io::write(&self.again, &one));
            rung.map_err(|errno| BackendError::Host {
                attempt: "leave work of a share for later",
                source: errno.into(),
            })?;
        }
        Ok(())
    }
}
