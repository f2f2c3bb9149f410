//! Notices when a backend fails, wherever it runs, and tells the driver (virtio 1.3, section 2.1.2). Main types: [`Watched`], a
//! backend around the device's, and [`Failure`], what the transport reads.

use std::{
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::backend::{Backend, BackendError, Notifier};

/// Set once the device can't go on, until it is reset.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    happened: Arc<AtomicBool>,
    config_changed: Notifier,
}

impl Failure {
    pub(super) fn new(config_changed: Notifier) -> Self {
        Self {
            happened: Arc::default(),
            config_changed,
        }
    }

    /// The driver sees NEEDS_RESET from now on, and is told to look.
    pub(super) fn set(&self) {
        self.happened.store(true, Ordering::Release);
        self.config_changed.0.trigger();
    }

    pub(super) fn happened(&self) -> bool {
        self.happened.load(Ordering::Acquire)
    }

    pub(super) fn clear(&self) {
        self.happened.store(false, Ordering::Release);
    }
}

/// A backend whose failure is noticed.
#[derive(Debug)]
pub(super) struct Watched {
    backend: Box<dyn Backend>,
    failure: Failure,
}

impl Watched {
    pub(super) fn new(backend: Box<dyn Backend>, failure: Failure) -> Self {
        Self { backend, failure }
    }
}

impl Backend for Watched {
    fn wake(&self) -> BorrowedFd<'_> {
        self.backend.wake()
    }

    fn run(&mut self) -> Result<(), BackendError> {
        let run = self.backend.run();
        if run.is_err() {
            self.failure.set();
        }
        run
    }
}
