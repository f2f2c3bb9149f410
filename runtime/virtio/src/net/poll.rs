//! What a network device waits for, behind one epoll descriptor. Main types: [`Poll`] and [`Source`]; [`Waits`] is what a direction of
//! a pair waits for. Above: `serve` and `kernel`. Below: epoll(7).
//!
//! Everything is edge-triggered, as in the socket device: doorbells need not be read, and what is ready while nobody can use it does
//! not wake again. A tap that the guest has no buffers for is not even watched: each frame that comes would be an edge.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};

use crate::limits::NIC_EVENTS_PER_RUN;

/// An epoll instance.
#[derive(Debug)]
pub(super) struct Poll {
    epoll: OwnedFd,
    news: Vec<(Source, EventFlags)>,
}

/// Who is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The driver has new buffers for this pair.
    Receive(usize),
    /// The driver has new frames of this pair.
    Transmit(usize),
    /// The tap of this pair has frames, or room.
    Tap(usize),
    /// The kernel gave this pair up.
    Broken(usize),
    /// The driver has a command.
    Control,
    /// Work was left over.
    Again,
}

/// What one direction of a pair waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing: there is more to do.
    No,
    /// The tap: for frames, or for room.
    ForTap,
    /// The guest: for buffers, or for frames.
    ForGuest,
}

impl Source {
    /// Kind in the lowest bits, pair above.
    const KINDS: u64 = 8;

    fn token(self) -> u64 {
        let (kind, pair) = match self {
            Self::Receive(pair) => (0, pair),
            Self::Transmit(pair) => (1, pair),
            Self::Tap(pair) => (2, pair),
            Self::Broken(pair) => (3, pair),
            Self::Control => (4, 0),
            Self::Again => (5, 0),
        };
        // No more pairs than a few.
        u64::try_from(pair).unwrap_or(0) * Self::KINDS + kind
    }

    fn from_token(token: u64) -> Self {
        let pair = usize::try_from(token / Self::KINDS).unwrap_or(usize::MAX);
        match token % Self::KINDS {
            0 => Self::Receive(pair),
            1 => Self::Transmit(pair),
            2 => Self::Tap(pair),
            3 => Self::Broken(pair),
            4 => Self::Control,
            _ => Self::Again,
        }
    }
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            news: Vec::with_capacity(NIC_EVENTS_PER_RUN),
        })
    }

    /// Adds a source that is only ever read.
    pub(super) fn watch(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        self.add(fd, source, EventFlags::IN)
    }

    pub(super) fn add(
        &self,
        fd: impl AsFd,
        source: Source,
        interest: EventFlags,
    ) -> io::Result<()> {
        let data = EventData::new_u64(source.token());
        Ok(epoll::add(
            &self.epoll,
            fd,
            data,
            interest | EventFlags::ET,
        )?)
    }

    /// Watches for something else from now on. What is ready already is told.
    pub(super) fn change(
        &self,
        fd: impl AsFd,
        source: Source,
        interest: EventFlags,
    ) -> io::Result<()> {
        let data = EventData::new_u64(source.token());
        Ok(epoll::modify(
            &self.epoll,
            fd,
            data,
            interest | EventFlags::ET,
        )?)
    }

    /// Takes the news that there are, without waiting. More than one call's worth stays for the next run: the descriptor is
    /// readable then.
    pub(super) fn news(&mut self) -> io::Result<()> {
        self.news.clear();
        let now = Timespec::default();
        let mut events = [const { MaybeUninit::<Event>::uninit() }; NIC_EVENTS_PER_RUN];
        // Does not wait, so no signal interrupts it.
        let (events, _unused) = epoll::wait(&self.epoll, &mut events, Some(&now))?;
        for event in events {
            let source = Source::from_token(event.data.u64());
            self.news.push((source, event.flags));
        }
        Ok(())
    }

    /// One of the news by its number.
    pub(super) fn get(&self, number: usize) -> Option<(Source, EventFlags)> {
        self.news.get(number).copied()
    }
}

impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
