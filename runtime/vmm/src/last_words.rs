//! How any thread ends the machine. Main type: [`LastWords`]. The main thread hears the first one, says it on every socket and ends
//! the process.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::mpsc::{self, Receiver, SyncSender},
};

use machine::board::Stop;
use monitor::EndReason;

use crate::{bell::Bell, limits::ENDINGS};

/// Why the machine is over, before the console's tail is added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) reason: EndReason,
    pub(crate) text: String,
}

/// Says why the machine is over. Cheap to clone; every thread has one.
#[derive(Debug, Clone)]
pub(crate) struct LastWords {
    causes: SyncSender<Cause>,
    bell: Bell,
}

/// Where the main thread hears it.
#[derive(Debug)]
pub(crate) struct Ear {
    causes: Receiver<Cause>,
    bell: Bell,
}

/// Both ends.
pub(crate) fn channel() -> io::Result<(LastWords, Ear)> {
    let (sender, causes) = mpsc::sync_channel(ENDINGS);
    let bell = Bell::new()?;
    Ok((
        LastWords {
            causes: sender,
            bell: bell.clone(),
        },
        Ear { causes, bell },
    ))
}

impl LastWords {
    pub(crate) fn say(&self, cause: Cause) {
        // When there is no room others have said theirs, and only the first one counts.
        drop(self.causes.try_send(cause));
        self.bell.ring();
    }
}

impl Ear {
    pub(crate) fn heard(&self) -> Option<Cause> {
        self.causes.try_recv().ok()
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Cause {
    pub(crate) fn new(reason: EndReason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }

    /// An error of ours, with all its causes.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(EndReason::InternalError, chain(error))
    }
}

impl From<Stop> for Cause {
    fn from(stop: Stop) -> Self {
        let reason = match stop {
            Stop::PowerOff => EndReason::PowerOff,
            Stop::Reset => EndReason::Reset,
            Stop::GuestPanic => EndReason::GuestPanic,
            Stop::TripleFault => EndReason::TripleFault,
            Stop::InternalError { .. } | Stop::FailedEntry { .. } | Stop::UnexpectedExit { .. } => {
                EndReason::InternalError
            }
        };
        Self::new(reason, stop.to_string())
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
