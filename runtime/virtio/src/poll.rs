//! One epoll instance of a device whose sources are values of its own. Main types: [`Poll`], and [`Token`], which a device's sources are.
//! Above: the socket device and the network device. Below: epoll(7).
//!
//! Everything is registered edge-triggered: an event is told once and noted by whoever handles it.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};

/// A source of news, as the number that the kernel keeps with it.
pub(crate) trait Token: Copy {
    fn token(self) -> u64;

    fn from_token(token: u64) -> Self;
}

/// An epoll instance that takes at most `EVENTS` news at a time.
#[derive(Debug)]
pub(crate) struct Poll<Source, const EVENTS: usize> {
    epoll: OwnedFd,
    news: Vec<(Source, EventFlags)>,
}

impl<Source: Token, const EVENTS: usize> Poll<Source, EVENTS> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            news: Vec::with_capacity(EVENTS),
        })
    }

    /// Adds a source that is only ever read.
    pub(crate) fn watch(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        self.add(fd, source, EventFlags::IN)
    }

    pub(crate) fn add(
        &self,
        fd: impl AsFd,
        source: Source,
        interest: EventFlags,
    ) -> io::Result<()> {
        let data = EventData::new_u64(source.token());
        let interest = interest | EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, data, interest)?)
    }

    /// Watches for something else from now on. What is ready already is told.
    pub(crate) fn change(
        &self,
        fd: impl AsFd,
        source: Source,
        interest: EventFlags,
    ) -> io::Result<()> {
        let data = EventData::new_u64(source.token());
        let interest = interest | EventFlags::ET;
        Ok(epoll::modify(&self.epoll, fd, data, interest)?)
    }

    /// Takes the news that there are, without waiting. More than one call's worth stays for the next run: the descriptor is
    /// readable then.
    pub(crate) fn news(&mut self) -> io::Result<()> {
        self.news.clear();
        let now = Timespec::default();
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        // Does not wait, so no signal interrupts it.
        let (events, _unused) = epoll::wait(&self.epoll, &mut events, Some(&now))?;
        for event in events {
            let source = Source::from_token(event.data.u64());
            self.news.push((source, event.flags));
        }
        Ok(())
    }

    /// One of the news by its number.
    pub(crate) fn get(&self, number: usize) -> Option<(Source, EventFlags)> {
        self.news.get(number).copied()
    }
}

impl<Source, const EVENTS: usize> AsFd for Poll<Source, EVENTS> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
