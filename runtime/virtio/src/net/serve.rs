//! A network device at work in user space: all its pairs of queues on one thread. Main type: [`NicBackend`]. Above: the thread that
//! the monitor chose. Below: `receive`, `transmit` and `control`.
//!
//! One run looks at everything that is ready once, within limits, so that frames in one direction can't keep the other waiting; what is
//! left wakes it again. Awake, a run costs one epoll_wait(2) here and one in the thread's loop, beside what the frames cost.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use machine::{memory::GuestRam, tap::Tap};
use rustix::event::epoll::EventFlags;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{
    QueuePair,
    control::Control,
    poll::{Poll, Source, Waits},
    receive::Receiver,
    transmit::Transmitter,
};
use crate::{
    backend::{Backend, BackendError, Kick},
    limits,
};

/// What driver and device agreed on.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) memory: GuestRam,
    /// Bytes of the longest frame that the driver is given.
    pub(super) longest: usize,
    /// A frame may lie in several buffers.
    pub(super) mergeable: bool,
}

/// The backend of a [`Nic`](super::Nic) without vhost.
#[derive(Debug)]
pub(super) struct NicBackend {
    poll: Poll,
    pairs: Vec<Pair>,
    /// How many of the pairs the driver uses.
    active: usize,
    control: Option<Control>,
    commanded: bool,
    /// Wakes us when work is left.
    again: Kick,
}

/// A pair of queues with its tap.
#[derive(Debug)]
struct Pair {
    number: usize,
    tap: Arc<Tap>,
    receiver: Receiver,
    transmitter: Transmitter,
    receives: Waits,
    transmits: Waits,
    /// What of the tap is watched for.
    interest: EventFlags,
}

impl NicBackend {
    pub(super) fn new(
        terms: &Terms,
        pairs: Vec<(Arc<Tap>, QueuePair)>,
        control: Option<Control>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let again = Kick(EventFd::new(EFD_NONBLOCK)?);
        poll.watch(&again, Source::Again)?;
        if let Some(control) = &control {
            poll.watch(control, Source::Control)?;
        }
        let pairs = pairs.into_iter().enumerate();
        let pairs = pairs.map(|(number, (tap, queues))| Pair::new(terms, number, tap, queues));
        let pairs: Vec<Pair> = pairs.collect();
        for pair in &pairs {
            pair.watch(&poll)?;
        }
        // The queues may hold buffers whose doorbells rang before we listened: look at once.
        again.0.write(1)?;
        Ok(Self {
            poll,
            pairs,
            active: 1,
            commanded: control.is_some(),
            control,
            again,
        })
    }

    /// Takes the news of everyone we wait for.
    fn news(&mut self) -> Result<(), BackendError> {
        let news = self.poll.news();
        news.map_err(|source| host("wait for a tap and the guest", source))?;
        for number in 0..limits::NIC_EVENTS_PER_RUN {
            let Some((source, flags)) = self.poll.get(number) else {
                break;
            };
            match source {
                Source::Receive(pair) | Source::Transmit(pair) | Source::Tap(pair) => {
                    let pair = self.pairs.get_mut(pair);
                    pair.into_iter().for_each(|pair| pair.hear(source, flags));
                }
                Source::Control => self.commanded = true,
                Source::Broken(_) | Source::Again => {}
            }
        }
        Ok(())
    }

    /// Takes commands; true when there may be more.
    fn obey(&mut self) -> Result<bool, BackendError> {
        let (pairs, active) = (&self.pairs, &mut self.active);
        let Some(control) = self.control.as_mut().filter(|_| self.commanded) else {
            return Ok(false);
        };
        let taps = || pairs.iter().map(|pair| &*pair.tap);
        self.commanded = control.serve(|wanted| {
            let wanted = usize::from(wanted);
            let done = use_taps(taps, *active, wanted);
            if done {
                *active = wanted;
            }
            done
        })?;
        Ok(self.commanded)
    }
}

impl Backend for NicBackend {
    fn wake(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }

    fn run(&mut self) -> Result<(), BackendError> {
        self.news()?;
        let mut more = self.obey()?;
        for pair in self.pairs.iter_mut().take(self.active) {
            more |= pair.turn(&self.poll)?;
        }
        if more { self.again.again() } else { Ok(()) }
    }
}

impl Pair {
    fn new(terms: &Terms, number: usize, tap: Arc<Tap>, queues: QueuePair) -> Self {
        let [receive, transmit] = queues;
        let (index, memory) = (number * 2, &terms.memory);
        let frames = (terms.longest, terms.mergeable);
        Self {
            number,
            tap,
            receiver: Receiver::new(index, memory, receive, frames),
            transmitter: Transmitter::new(index + 1, memory, transmit),
            receives: Waits::No,
            transmits: Waits::No,
            interest: EventFlags::IN,
        }
    }

    fn watch(&self, poll: &Poll) -> io::Result<()> {
        poll.watch(&self.receiver, Source::Receive(self.number))?;
        poll.watch(&self.transmitter, Source::Transmit(self.number))?;
        poll.add(&*self.tap, Source::Tap(self.number), self.interest)
    }

    /// Somebody is ready: ends the wait for it.
    fn hear(&mut self, source: Source, flags: EventFlags) {
        let (receives, transmits) = match source {
            Source::Receive(_) => (Some(Waits::ForGuest), None),
            Source::Transmit(_) => (None, Some(Waits::ForGuest)),
            // What is neither room nor an error is a frame.
            _ => (
                (flags != EventFlags::OUT).then_some(Waits::ForTap),
                (flags != EventFlags::IN).then_some(Waits::ForTap),
            ),
        };
        if receives == Some(self.receives) {
            self.receives = Waits::No;
        }
        if transmits == Some(self.transmits) {
            self.transmits = Waits::No;
        }
    }

    /// Does what there is to do in both directions; true when there may be more.
    fn turn(&mut self, poll: &Poll) -> Result<bool, BackendError> {
        if self.transmits == Waits::No {
            self.transmits = self.transmitter.turn(self.tap.as_fd())?;
        }
        if self.receives == Waits::No {
            self.receives = self.receiver.turn(self.tap.as_fd())?;
        }
        self.watch_tap(poll)
            .map_err(|source| host("choose what to wait for at a tap", source))?;
        Ok([self.transmits, self.receives].contains(&Waits::No))
    }

    /// Frames are of no interest while the guest has no buffers for them, room only when one found none.
    fn watch_tap(&mut self, poll: &Poll) -> io::Result<()> {
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, self.receives != Waits::ForGuest);
        interest.set(EventFlags::OUT, self.transmits == Waits::ForTap);
        if interest == self.interest {
            return Ok(());
        }
        poll.change(&*self.tap, Source::Tap(self.number), interest)?;
        self.interest = interest;
        Ok(())
    }
}

/// Gives the first `wanted` queues of the interface their share of frames, instead of the first `active`. All or nothing.
pub(super) fn use_taps<'a, T: Iterator<Item = &'a Tap>>(
    taps: impl Fn() -> T,
    active: usize,
    wanted: usize,
) -> bool {
    if !(1..=taps().count()).contains(&wanted) {
        return false;
    }
    let change = |count| {
        let mut queues = taps().enumerate();
        queues.try_for_each(|(number, tap)| tap.attach(number < count))
    };
    if change(wanted).is_ok() {
        return true;
    }
    // The kernel took these before. If it does not now, the driver is told anyway that it has what it had.
    change(active).ok();
    false
}

pub(super) fn host(attempt: &'static str, source: io::Error) -> BackendError {
    BackendError::Host { attempt, source }
}
