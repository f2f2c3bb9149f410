//! Threads under a filter. Main function: [`start`]. No thread but the main one does anything before its filter is in place, and
//! [`Gate`] holds the processors until the main thread's is.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
};

use thiserror::Error;

use crate::{
    jail::{
        filter::{self, FilterError},
        filters::Kind,
    },
    limits::THREAD_DEADLINE,
};

/// Why a thread does not run.
#[derive(Debug, Error)]
pub(crate) enum ThreadError {
    /// The kernel has none left.
    #[error("make the thread {name}")]
    Make {
        /// Its name.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It is not allowed to run without a filter.
    #[error("put the thread {name} under its filter")]
    Filter {
        /// Its name.
        name: String,
        /// Why it has none.
        #[source]
        source: FilterError,
    },
    /// It did not come to life.
    #[error("the thread {name} did not answer")]
    Silent {
        /// Its name.
        name: String,
    },
}

/// Makes a thread of a kind, and returns when its filter is in place. Nobody joins it: it ends when its work does, or with the
/// process.
pub(crate) fn start(
    name: &str,
    kind: Kind,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), ThreadError> {
    let filter = |source| ThreadError::Filter {
        name: name.to_owned(),
        source,
    };
    let program = kind.program().map_err(filter)?;
    let (ready, answer) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let installed = filter::install(&program);
            drop(program);
            let works = installed.is_ok();
            // The maker waits for it, or has given up on this process.
            let told = ready.send(installed).is_ok();
            drop(ready);
            if works && told {
                work();
            }
        })
        .map_err(|source| ThreadError::Make {
            name: name.to_owned(),
            source,
        })?;
    match answer.recv_timeout(THREAD_DEADLINE) {
        Ok(installed) => installed.map_err(filter),
        Err(_) => Err(ThreadError::Silent {
            name: name.to_owned(),
        }),
    }
}

/// Holds threads until it is opened, once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Returns when the gate is open.
    pub(crate) fn pass(&self) {
        let (open, opened) = &*self.0;
        let mut is_open = open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_open {
            is_open = opened.wait(is_open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets everybody pass from now on.
    pub(crate) fn open(&self) {
        let (open, opened) = &*self.0;
        *open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        opened.notify_all();
    }
}
