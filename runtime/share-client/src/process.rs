//! A server's process, known by a descriptor. Main type: [`Process`]. Above: `server`.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Child,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal},
};
use thiserror::Error;

/// Where the kernel's list of a process's numbers has the time of its start, counted behind the name (proc_pid_stat(5): field 22).
const START_FIELD: usize = 19;

/// Why a process could not be had, or not be ended.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// It has ended, or its id is another's now.
    #[error("the share server with process id {pid} is gone")]
    Gone {
        /// Its process id.
        pid: u32,
    },
    /// The kernel refused.
    #[error("{attempt} the share server with process id {pid}")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// Its process id.
        pid: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It was killed and is still there: it waits for storage.
    #[error(
        "the share server with process id {pid} did not end within {deadline:?} after it was killed"
    )]
    Late {
        /// Its process id.
        pid: u32,
        /// How long it had.
        deadline: Duration,
    },
}

/// A process, ours or an earlier daemon's. Dropping it kills nothing.
#[derive(Debug)]
pub(crate) struct Process {
    pidfd: OwnedFd,
    pid: u32,
    started: u64,
    /// If we started it: a thread that reaps it when it ends, whoever ends it.
    reaper: Option<JoinHandle<()>>,
}

impl Process {
    /// One that was just started. It is killed when that fails.
    pub(crate) fn ours(mut child: Child) -> Result<Self, ProcessError> {
        let pid = child.id();
        let opened = open(pid).and_then(|pidfd| Ok((pidfd, start_of(pid)?)));
        match opened {
            Ok((pidfd, started)) => {
                let reaper = thread::Builder::new().name("share-reaper".to_owned());
                // Without a thread for that it is reaped when we end.
                let reaper = reaper.spawn(move || drop(child.wait())).ok();
                Ok(Self {
                    pidfd,
                    pid,
                    started,
                    reaper,
                })
            }
            Err(error) => {
                // It fails only for a process that has ended.
                drop(child.kill());
                drop(child.wait());
                Err(error)
            }
        }
    }

    /// One that an earlier daemon started.
    pub(crate) fn find(pid: u32, started: u64) -> Result<Self, ProcessError> {
        let pidfd = open(pid)?;
        // Looked at after it was opened: the descriptor stands for whoever has the id now.
        let process = Self {
            pidfd,
            pid,
            started: start_of(pid)?,
            reaper: None,
        };
        if process.started == started && !process.is_gone() {
            Ok(process)
        } else {
            Err(ProcessError::Gone { pid })
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Kills it and waits until it is gone. One that is gone already is fine.
    pub(crate) fn end(&mut self, deadline: Duration) -> Result<(), ProcessError> {
        let killed = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        match killed {
            Ok(()) | Err(rustix::io::Errno::SRCH) => (),
            Err(errno) => return Err(refused("kill", self.pid)(errno.into())),
        }
        if !self.wait(deadline) {
            return Err(ProcessError::Late {
                pid: self.pid,
                deadline,
            });
        }
        if let Some(reaper) = self.reaper.take() {
            // It has ended, so this does not wait long. A panic there is none of ours.
            reaper.join().ok();
        }
        Ok(())
    }

    /// Is it gone by then?
    fn wait(&self, deadline: Duration) -> bool {
        let deadline = Timespec::try_from(deadline).ok();
        let mut poll = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let polled =
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut poll, deadline.as_ref()));
        polled.is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn open(pid: u32) -> Result<OwnedFd, ProcessError> {
    let gone = ProcessError::Gone { pid };
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Err(gone);
    };
    match rustix::process::pidfd_open(id, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(pidfd),
        Err(rustix::io::Errno::SRCH) => Err(gone),
        Err(errno) => Err(refused("open a descriptor of", pid)(errno.into())),
    }
}

/// When a process was started, in ticks since the host was: with its id it names a process for ever.
fn start_of(pid: u32) -> Result<u64, ProcessError> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.map_err(|_gone| ProcessError::Gone { pid })?;
    // The name before may hold anything.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
    let field = fields.and_then(|fields| fields.split_whitespace().nth(START_FIELD));
    let start = field.and_then(|field| field.parse().ok());
    start.ok_or(ProcessError::Gone { pid })
}

fn refused(attempt: &'static str, pid: u32) -> impl FnOnce(io::Error) -> ProcessError {
    move |source| ProcessError::Refused {
        attempt,
        pid,
        source,
    }
}
