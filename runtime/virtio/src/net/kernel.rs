//! A network device whose frames the kernel moves (vhost-net). Main type: [`VhostBackend`]. Above: the thread that the monitor chose,
//! which only takes commands of the control queue. Below: `machine`'s [`VhostNet`], one for each pair.
//!
//! Each queue's doorbell is what vhost waits for, and each queue's interrupt has a wire that vhost writes: no frame costs this process
//! anything. vhost works on guest memory as long as a queue is attached; dropping the backend detaches all of them.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use machine::{
    interrupt::Wire,
    memory::GuestRam,
    tap::Tap,
    vhost::{VhostError, VhostNet, VhostRing},
};
use virtio_queue::QueueT;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{
    QueuePair,
    control::Control,
    features,
    poll::{Poll, Source},
    serve::{host, use_taps},
};
use crate::{
    backend::{Backend, BackendError, Kick},
    device::ActiveQueue,
    limits,
    queue::Broken,
};

/// The backend of a [`Nic`](super::Nic) with vhost.
#[derive(Debug)]
pub(super) struct VhostBackend {
    poll: Poll,
    pairs: Vec<KernelPair>,
    /// How many of the pairs the driver uses. The kernel works on those only.
    active: usize,
    control: Option<Control>,
    commanded: bool,
    /// Held for epoll: it wakes us for the first time, and when commands are left.
    again: Kick,
    /// Stays mapped until all is detached.
    _memory: GuestRam,
}

/// A pair of queues that the kernel works on.
#[derive(Debug)]
struct KernelPair {
    vhost: Arc<VhostNet>,
    tap: Arc<Tap>,
    queues: [Wired; 2],
    /// Written by the kernel when it gives a ring up.
    error: Kick,
}

/// A queue with the wire from the kernel to its interrupt.
#[derive(Debug)]
struct Wired {
    queue: ActiveQueue,
    wire: Arc<Wire>,
}

impl VhostBackend {
    pub(super) fn new(
        memory: &GuestRam,
        features: u64,
        pairs: Vec<(Arc<VhostNet>, Arc<Tap>, QueuePair)>,
        control: Option<Control>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let again = Kick(EventFd::new(EFD_NONBLOCK)?);
        poll.watch(&again, Source::Again)?;
        if let Some(control) = &control {
            poll.watch(control, Source::Control)?;
            again.0.write(1)?;
        }
        let mut backend = Self {
            poll,
            pairs: Vec::with_capacity(pairs.len()),
            active: 1,
            commanded: control.is_some(),
            control,
            again,
            _memory: memory.clone(),
        };
        for (number, (vhost, tap, queues)) in pairs.into_iter().enumerate() {
            let pair = KernelPair::new(vhost, tap, queues)?;
            backend.poll.watch(&pair.error, Source::Broken(number))?;
            // From here on it is let go of whatever fails.
            backend.pairs.push(pair);
            let pair = backend.pairs.last();
            pair.map_or(Ok(()), |pair| pair.set_up(features, memory))?;
        }
        let first = backend.pairs.first();
        first.map_or(Ok(()), |first| first.attach(true))?;
        Ok(backend)
    }

    fn news(&mut self) -> Result<(), BackendError> {
        let news = self.poll.news();
        news.map_err(|source| host("wait for the guest's commands", source))?;
        for number in 0..limits::NIC_EVENTS_PER_RUN {
            match self.poll.get(number) {
                Some((Source::Control, _)) => self.commanded = true,
                Some((Source::Broken(pair), _)) => {
                    return Err(BackendError::Queue {
                        queue: pair * 2,
                        source: Broken::Vhost,
                    });
                }
                Some(_) => {}
                None => break,
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
        let mut failed = None;
        self.commanded = control.serve(|wanted| {
            let done = use_pairs(pairs, active, wanted.into());
            done.unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        })?;
        failed.map_or(Ok(self.commanded), |source| {
            Err(host("change the queues that vhost-net works on", source))
        })
    }
}

impl Backend for VhostBackend {
    fn wake(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }

    fn run(&mut self) -> Result<(), BackendError> {
        self.news()?;
        if self.obey()? {
            return self.again.again();
        }
        Ok(())
    }
}

/// Lets the kernel work on the first `wanted` pairs instead of the first `active`. False when there are not so many, or the taps
/// did not follow.
fn use_pairs(pairs: &[KernelPair], active: &mut usize, wanted: usize) -> io::Result<bool> {
    let taps = || pairs.iter().map(|pair| &*pair.tap);
    if !use_taps(taps, *active, wanted) {
        return Ok(false);
    }
    let before = std::mem::replace(active, wanted);
    for (number, pair) in pairs.iter().enumerate() {
        let (before, now) = (number < before, number < wanted);
        if before != now {
            pair.attach(now)?;
        }
    }
    Ok(true)
}

impl KernelPair {
    fn new(vhost: Arc<VhostNet>, tap: Arc<Tap>, queues: QueuePair) -> io::Result<Self> {
        let [receive, transmit] = queues;
        Ok(Self {
            vhost,
            tap,
            queues: [Wired::new(receive)?, Wired::new(transmit)?],
            error: Kick(EventFd::new(EFD_NONBLOCK)?),
        })
    }

    fn set_up(&self, features: u64, memory: &GuestRam) -> io::Result<()> {
        let features = features::for_kernel(features);
        self.vhost.set_up(features, memory).map_err(refused)?;
        for (index, Wired { queue, wire }) in (0..).zip(&self.queues) {
            queue.notifier.0.join(wire)?;
            let ring = VhostRing {
                size: queue.queue.size(),
                table: queue.queue.desc_table(),
                available: queue.queue.avail_ring(),
                used: queue.queue.used_ring(),
                next: queue.queue.next_avail(),
                kick: queue.kick.as_fd(),
                call: wire.as_fd(),
                error: self.error.as_fd(),
            };
            let set = self.vhost.set_ring(index, &ring, memory);
            set.map_err(refused)?;
        }
        Ok(())
    }

    /// Lets the kernel work on both rings, or on none.
    fn attach(&self, attached: bool) -> io::Result<()> {
        for (index, Wired { queue, .. }) in (0..).zip(&self.queues) {
            if attached {
                let attached = self.vhost.attach(index, self.tap.as_fd());
                attached.map_err(refused)?;
                // A doorbell that rang before is not heard again.
                queue.kick.0.write(1)?;
            } else {
                self.vhost.detach(index).map_err(refused)?;
            }
        }
        Ok(())
    }
}

impl Drop for KernelPair {
    fn drop(&mut self) {
        for (index, Wired { queue, wire }) in (0..).zip(&self.queues) {
            // The kernel refuses only what it does not know, and then it works on nothing.
            self.vhost.detach(index).ok();
            queue.notifier.0.part(wire);
        }
    }
}

impl Wired {
    fn new(queue: ActiveQueue) -> io::Result<Self> {
        let wire = Wire::new().map_err(io::Error::other)?;
        Ok(Self {
            queue,
            wire: Arc::new(wire),
        })
    }
}

fn refused(error: VhostError) -> io::Error {
    io::Error::other(error)
}
