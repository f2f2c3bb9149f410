//! What the socket device waits for, behind one epoll descriptor. Main types: [`Poll`], [`Source`] and [`Timer`]. Above:
//! `backend` and `muxer`. Below: the crate's `poll`, timerfd_create(2).
//!
//! Everything is registered edge-triggered: an event is told once and noted by whoever handles it. So doorbells need not be
//! read, a socket that is ready while the guest is not costs nothing, and a hang-up can't spin.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::EventfdFlags,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use super::limits;
use crate::poll::{self, Token};

/// The device's epoll instance.
pub(super) type Poll = poll::Poll<Source, { limits::EVENTS_PER_RUN }>;

/// Who is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The connection of this local port, if it is still there.
    Connection(u32),
    /// Clients wait to be accepted.
    Listener,
    /// A deadline has come.
    Timer,
    /// The guest is to be told that connections are lost.
    TransportReset,
    /// A doorbell, or work that was left over: nothing to know but that one should look.
    Work,
}

/// Wakes at the earliest of many deadlines.
#[derive(Debug)]
pub(super) struct Timer {
    timer: OwnedFd,
    due: Option<Instant>,
}

impl Source {
    const BESIDES_PORTS: u64 = 1 << 32;
}

impl Token for Source {
    fn token(self) -> u64 {
        match self {
            Self::Connection(port) => u64::from(port),
            Self::Listener => Self::BESIDES_PORTS,
            Self::Timer => Self::BESIDES_PORTS + 1,
            Self::TransportReset => Self::BESIDES_PORTS + 2,
            Self::Work => Self::BESIDES_PORTS + 3,
        }
    }

    fn from_token(token: u64) -> Self {
        match u32::try_from(token) {
            Ok(port) => Self::Connection(port),
            Err(_wide) if token == Self::Listener.token() => Self::Listener,
            Err(_wide) if token == Self::Timer.token() => Self::Timer,
            Err(_wide) if token == Self::TransportReset.token() => Self::TransportReset,
            Err(_wide) => Self::Work,
        }
    }
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self {
            timer: timerfd_create(TimerfdClockId::Monotonic, flags)?,
            due: None,
        })
    }

    /// Makes sure that it wakes at `deadline` or earlier. A deadline that goes away leaves it set: one idle wake-up is cheaper
    /// than a call for each change.
    pub(super) fn no_later(&mut self, deadline: Instant) -> io::Result<()> {
        if self.due.is_some_and(|due| due <= deadline) {
            return Ok(());
        }
        // Zero would disarm it.
        let wait = deadline.saturating_duration_since(Instant::now());
        let wait = wait.max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(wait).map_err(io::Error::other)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.due = Some(deadline);
        Ok(())
    }

    /// It woke: nothing is set now.
    pub(super) fn rang(&mut self) {
        self.due = None;
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

/// A wake-up from this process: readable from [`wake`] on.
pub(super) fn signal() -> io::Result<OwnedFd> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    Ok(rustix::event::eventfd(0, flags)?)
}

/// Makes a [`signal`] readable.
pub(super) fn wake(signal: BorrowedFd<'_>) -> io::Result<()> {
    let one = 1_u64.to_ne_bytes();
    rustix::io::retry_on_intr(|| rustix::io::write(signal, &one))?;
    Ok(())
}

/// Takes a [`signal`] back.
pub(super) fn take_back(signal: BorrowedFd<'_>) {
    let mut count = [0; 8];
    // Nothing to read means that it was taken back already.
    if let Err(_empty) = rustix::io::read(signal, &mut count) {}
}
