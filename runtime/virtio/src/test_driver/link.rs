//! The other end of a network device. Main types: [`Link`], a pair of datagram sockets, which like a tap keep frames apart, cut off
//! what does not fit, and refuse when they are full; and [`ActiveLane`], a queue of the device with its driver.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use machine::memory::GuestRam;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{Counter, DriverRing};
use crate::{backend::Kick, device::ActiveQueue};

/// A stand-in for a tap, and the host's side of it.
#[derive(Debug)]
pub(crate) struct Link {
    tap: OwnedFd,
    host: OwnedFd,
}

impl Link {
    pub(crate) fn new() -> Self {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None);
        let (tap, host) = pair.expect("make a pair of sockets");
        Self { tap, host }
    }

    pub(crate) fn tap(&self) -> BorrowedFd<'_> {
        self.tap.as_fd()
    }

    pub(crate) fn host(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }

    /// The host sends a frame, its header included.
    pub(crate) fn send(&self, frame: &[u8]) {
        let sent = rustix::net::send(&self.host, frame, SendFlags::empty());
        assert_eq!(sent, Ok(frame.len()));
    }

    /// A frame that the guest sent, if there is one.
    pub(crate) fn received(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 0x1_0100];
        let (length, _) = rustix::net::recv(&self.host, &mut frame, RecvFlags::empty()).ok()?;
        frame.truncate(length);
        Some(frame)
    }
}

/// A queue as it is handed to a device, and its driver's side.
#[derive(Debug)]
pub(crate) struct ActiveLane {
    pub(crate) driver: DriverRing,
    pub(crate) interrupts: std::sync::Arc<Counter>,
    pub(crate) kick: EventFd,
}

impl ActiveLane {
    /// Rings lie from `base` on.
    pub(crate) fn new(memory: &GuestRam, base: u64, size: u16) -> (Self, ActiveQueue) {
        let driver = DriverRing::new(memory, base, size);
        let (interrupts, notifier) = Counter::notifier();
        let kick = EventFd::new(EFD_NONBLOCK).expect("make an eventfd");
        let active = ActiveQueue {
            queue: driver.queue(true),
            kick: Kick(kick.try_clone().expect("share the eventfd")),
            notifier,
        };
        let lane = Self {
            driver,
            interrupts,
            kick,
        };
        (lane, active)
    }

    /// The driver notifies.
    pub(crate) fn notify(&self) {
        self.kick.write(1).expect("ring the doorbell");
    }
}
