//! A PID namespace that the containers of a pod share. Its first process is this program again: it reaps, as the kernel wants of a
//! first process, and ends when the agent lets go of it, which ends all others in the namespace. Main type: [`PidNamespace`].
//!
//! ```text
//! agent ──socket──► pause (unshares, starts, tells the pid, ends) ──► init, the first process; its standard input is the socket
//! ```

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{SigSet, Signal},
    sys::signalfd::{SfdFlags, SignalFd},
};
use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, Spec};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
    process::{WaitOptions, wait},
    stdio,
};

use crate::{deadlines::PAUSE_DEADLINE, failure::Failure};

/// The first argument with which the agent's program makes a PID namespace, and with which it is the first process in it.
pub const PAUSE_ARGUMENT: &str = "pause";
pub const INIT_ARGUMENT: &str = "pause-init";

/// The link follows it to every root and over every upgrade.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The namespace. Dropping it ends it, with all that is in it.
#[derive(Debug)]
pub struct PidNamespace {
    pid: u32,
    /// The first process waits for its end.
    _socket: UnixStream,
}

impl PidNamespace {
    /// Makes one. `program` is the agent's, for example /proc/self/exe; its processes become children of the caller, who reaps them.
    /// Blocks.
    ///
    /// # Errors
    /// When its first process does not come up.
    pub fn start(program: &Path) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PAUSE_DEADLINE))?;
        let mut pause = Command::new(program)
            .arg(PAUSE_ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        let mut pid = [0; 4];
        let told = (&ours).read_exact(&mut pid);
        if told.is_err() {
            // It hangs or has died; the socket's end ends what it may have started.
            drop(pause.kill());
        }
        told?;
        Ok(Self {
            pid: u32::from_le_bytes(pid),
            _socket: ours,
        })
    }

    /// Where the kernel shows it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join("ns/pid")
    }
}

/// Has the container join the PID namespace at `path`, whatever the specification says of one.
///
/// # Errors
/// When the namespace cannot be described.
pub fn join_pid_namespace(spec: &mut Spec, path: &Path) -> Result<(), Failure> {
    let namespace = LinuxNamespaceBuilder::default()
        .typ(LinuxNamespaceType::Pid)
        .path(path)
        .build()
        .map_err(|error| Failure::internal("join the pod's PID namespace", &error))?;
    if let Some(linux) = spec.linux_mut() {
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Pid);
        namespaces.push(namespace);
        linux.set_namespaces(Some(namespaces));
    }
    Ok(())
}

/// Makes the namespace and its first process, and tells that one's pid. To be called with one thread.
#[must_use]
pub fn pause_main() -> ExitCode {
    code(&start_init())
}

/// The life of the first process. To be called with one thread.
#[must_use]
pub fn init_main() -> ExitCode {
    code(&reap_until_let_go())
}

fn start_init() -> io::Result<()> {
    let socket = UnixStream::from(stdio::stdin().try_clone_to_owned()?);
    // For children from now on; this process stays where it is (unshare(2)), so it sees the child's pid as the agent does.
    unshare(CloneFlags::CLONE_NEWPID)?;
    let init = Command::new(THIS_PROGRAM)
        .arg(INIT_ARGUMENT)
        .env_clear()
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .spawn()?;
    (&socket).write_all(&init.id().to_le_bytes())
}

fn reap_until_let_go() -> io::Result<()> {
    let children = SigSet::from_iter([Signal::SIGCHLD]);
    children.thread_block()?;
    let signals = SignalFd::with_flags(&children, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let agent = stdio::stdin();
    loop {
        while let Ok(Some(_reaped)) = wait(WaitOptions::NOHANG) {}
        let mut waits = [
            // The agent never writes: a hang-up is all that comes.
            PollFd::new(&agent, PollFlags::empty()),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        retry_on_intr(|| poll(&mut waits, None))?;
        let [agent_gone, _] = &waits;
        if !agent_gone.revents().is_empty() {
            return Ok(());
        }
        while let Ok(Some(_signal)) = signals.read_signal() {}
    }
}

fn code(result: &io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The agent sees the socket closed and says so.
        Err(_no_agent) => ExitCode::FAILURE,
    }
}
