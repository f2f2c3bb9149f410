//! The working half of a device: it owns the queues and runs on a thread that the monitor chooses (the event loop, or one of
//! its own for a disk). Main type: [`Backend`]. The other half is [`Device`](crate::device::Device).

use std::{error::Error, fmt::Debug, io, os::fd::BorrowedFd, sync::Arc};

use machine::interrupt::Wire;
use vmm_sys_util::eventfd::EventFd;

use crate::{device::DeviceId, queue::Broken};

/// Works on a device's queues. One thread owns it; nobody else touches the queues while it lives.
pub trait Backend: Send + Debug {
    /// Readable whenever [`Backend::run`] has something to do. A backend with several sources gives an epoll descriptor.
    fn wake(&self) -> BorrowedFd<'_>;

    /// Does what there is to do without blocking, except on the storage behind a disk, and returns.
    ///
    /// # Errors
    /// When the backend can't go on: the queue is broken by the driver, or the host refused. The device then needs a reset.
    fn run(&mut self) -> Result<(), BackendError>;
}

/// Where backends run: given by the monitor to each transport.
///
/// Both this and [`Running`] are called under the board's lock, on a processor's thread or on whichever takes devices off the bus: the
/// thread that runs backends must never wait for that lock. It runs a backend when [`Backend::wake`] is readable, until one run
/// fails; it then drops the backend, and reports the error.
pub trait Stage: Send + Debug {
    /// Lets the backend run until the handle is stopped.
    ///
    /// # Errors
    /// When the thread can't take it.
    fn run(&self, backend: Box<dyn Backend>) -> io::Result<Box<dyn Running>>;

    /// A device did not start, and its driver has been told to reset it: the place to report why.
    fn not_started(&self, device: DeviceId, error: &(dyn Error + 'static));
}

/// A backend that runs somewhere.
pub trait Running: Send + Debug {
    /// Returns when the backend has stopped and is dropped: nobody touches its queues any more.
    fn stop(self: Box<Self>);

    /// The backend is not run any more. The transport knows of errors of the backend itself; this is for the thread's own. Its
    /// driver then sees DEVICE_NEEDS_RESET.
    fn failed(&self) -> bool;
}

/// Why a backend can't go on.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The driver broke the ring protocol.
    #[error("take a request from queue {queue}")]
    Queue {
        /// Number of the queue.
        queue: usize,
        /// What was wrong with it.
        #[source]
        source: Broken,
    },
    /// The host refused.
    #[error("{attempt}")]
    Host {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// The eventfd of a queue's doorbell; KVM writes it (ioeventfd) when the driver notifies. It does not block.
#[derive(Debug)]
pub struct Kick(pub EventFd);

impl Kick {
    /// Takes back the wake-up before the queue is looked at: a notification that comes after this wakes again.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn clear(&self) -> Result<(), BackendError> {
        match self.0.read() {
            Err(source) if source.kind() != io::ErrorKind::WouldBlock => Err(BackendError::Host {
                attempt: "clear a queue's doorbell",
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Wakes once more: there is work left, but others shall have their turn first.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn again(&self) -> Result<(), BackendError> {
        self.0.write(1).map_err(|source| BackendError::Host {
            attempt: "ring a queue's doorbell",
            source,
        })
    }
}

/// Interrupts the driver: an MSI-X vector, or nothing while the driver has none set.
///
/// Cheap to clone; the vector behind it can be changed or masked by the driver at any time.
#[derive(Debug, Clone)]
pub struct Notifier(pub Arc<dyn Interrupt>);

/// What a [`Notifier`] rings.
pub trait Interrupt: Send + Sync + Debug {
    /// Rings. With the vector masked it becomes pending, as PCI 3.0, section 6.8.2.4 wants.
    fn trigger(&self);

    /// Lets what the kernel writes to the wire ring as well, wherever the driver steers and masks it. One wire at a time; a reset of
    /// the device takes it away again. Only while the device is being activated.
    ///
    /// # Errors
    /// When the host refuses. What is no machine's interrupt (in tests) knows no wires.
    fn join(&self, _wire: &Arc<Wire>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Undoes [`Interrupt::join`].
    fn part(&self, _wire: &Arc<Wire>) {}
}
