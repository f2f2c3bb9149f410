//! Wakes a thread that waits for descriptors. Main type: [`Bell`], an eventfd that any thread may ring.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
};

/// Rings until it is silenced. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    pub(crate) fn ring(&self) {
        // The only refusal is that of a counter at its end, which rings as well.
        rustix::io::write(&*self.0, &1_u64.to_ne_bytes()).ok();
    }

    pub(crate) fn silence(&self) -> io::Result<()> {
        match rustix::io::read(&*self.0, &mut [0; 8]) {
            Err(errno) if errno != Errno::AGAIN => Err(errno.into()),
            _ => Ok(()),
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
