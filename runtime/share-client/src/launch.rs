//! From a program to a server that is ready. Main function: [`launch`]. What fails on the way leaves no process.

use std::{
    fs::File,
    io::{self, PipeReader, Read, Write},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt},
};
use thiserror::Error;

use crate::process::{Process, ProcessError};

/// What a server says when it serves.
const READY: &str = "ready\n";

/// How much of what a server says is read.
const WORD_BYTES: usize = 8 << 10;

/// Bytes that wait in the socket for the other side. Many messages, so that one side can go on while the other is busy.
const SOCKET_BYTES: usize = 2 << 20;

/// How to launch a server.
#[derive(Debug)]
pub struct ServerPlan {
    /// The server, `cofferdam-share`.
    pub program: PathBuf,
    /// `cgroup.procs` of the cgroup that it is to live in, open for writing.
    pub cgroup: Option<File>,
    /// How long it may take until it is ready, and to end when it was killed.
    pub deadline: Duration,
}

/// Why there is no server.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The socket between it and the monitor.
    #[error("make the socket of a share server")]
    Socket(#[source] io::Error),
    /// It could not be started.
    #[error("start the share server {program}")]
    Start {
        /// Its path.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended at once.
    #[error("watch the new share server")]
    Process(#[source] ProcessError),
    /// It can't be where the pod's limits hold for it.
    #[error("move the new share server into its cgroup")]
    Cgroup(#[source] io::Error),
    /// It said why it can't serve, or nothing.
    #[error("the share server did not start: {reason}")]
    Refused {
        /// Its reason.
        reason: String,
    },
    /// It said nothing in time.
    #[error("the share server was not ready within {deadline:?} and was killed")]
    Late {
        /// How long it had.
        deadline: Duration,
    },
}

/// A server that is ready, and the socket that the monitor gets.
pub(crate) fn launch(
    plan: &ServerPlan,
    mount_points: u16,
) -> Result<(Process, OwnedFd), LaunchError> {
    let (ours, theirs) = sockets().map_err(LaunchError::Socket)?;
    let started = start(plan, mount_points, theirs);
    let (child, words) = started.map_err(|source| LaunchError::Start {
        program: plan.program.clone(),
        source,
    })?;
    let mut process = Process::ours(child).map_err(LaunchError::Process)?;
    // Nobody has asked it for anything: what it does for the guest counts in the cgroup.
    if let Some(mut cgroup) = plan.cgroup.as_ref() {
        let moved = cgroup.write_all(process.pid().to_string().as_bytes());
        if let Err(error) = moved {
            drop(process.end(plan.deadline));
            return Err(LaunchError::Cgroup(error));
        }
    }
    match first_word(words, plan.deadline) {
        Ok(word) if word == READY => Ok((process, ours)),
        word => {
            // Whatever becomes of that, the first failure is what is told.
            drop(process.end(plan.deadline));
            Err(match word {
                Ok(word) if word.is_empty() => LaunchError::Refused {
                    reason: "it ended without a word".to_owned(),
                },
                Ok(word) => LaunchError::Refused {
                    reason: printable(word.trim_end()),
                },
                Err(_late) => LaunchError::Late {
                    deadline: plan.deadline,
                },
            })
        }
    }
}

/// Without what could steer a terminal.
fn printable(text: &str) -> String {
    let shown = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars().map(shown).collect()
}

fn sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let pair = socketpair(family, kind, SocketFlags::CLOEXEC, None)?;
    for socket in [&pair.0, &pair.1] {
        // Past the host's limit only with CAP_NET_ADMIN. The least that any host has is enough for a message.
        if sockopt::set_socket_send_buffer_size_force(socket, SOCKET_BYTES).is_err() {
            sockopt::set_socket_send_buffer_size(socket, SOCKET_BYTES)?;
        }
    }
    Ok(pair)
}

/// Starts the server with the socket as its standard input, and what it says in a pipe.
///
/// A PID namespace is for children: the thread that asks for it does not enter it itself. So a thread is made for that, starts the server
/// and ends; the server is the first process of the namespace.
fn start(plan: &ServerPlan, mount_points: u16, socket: OwnedFd) -> io::Result<(Child, PipeReader)> {
    let (words, mouth) = io::pipe()?;
    let mut command = Command::new(&plan.program);
    command
        .arg(mount_points.to_string())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(socket))
        .stdout(mouth.try_clone()?)
        .stderr(mouth);
    let starter = thread::Builder::new()
        .name("share-starter".to_owned())
        .spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).map_err(|errno| {
                io::Error::other(format!("make a PID namespace: {errno}; run as root"))
            })?;
            // Our copies of its ends go with the command.
            command.spawn()
        })?;
    let child = starter
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the starting thread panicked")))?;
    Ok((child, words))
}

/// What it says until it is ready, ends, or says too much.
fn first_word(mut words: PipeReader, deadline: Duration) -> io::Result<String> {
    let until = Instant::now() + deadline;
    let mut said = Vec::new();
    let mut bytes = [0; 1024];
    while said != READY.as_bytes() && said.len() < WORD_BYTES {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut poll = [PollFd::new(&words, PollFlags::IN)];
        if rustix::io::retry_on_intr(|| rustix::event::poll(&mut poll, left.as_ref()))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let read = words.read(&mut bytes)?;
        if read == 0 {
            break;
        }
        said.extend(bytes.get(..read).unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}
