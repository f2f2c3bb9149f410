//! A monitor's process: started as the first of a PID namespace of its own, or known by a descriptor that it passed. Main
//! type: [`Process`].

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    process::{Pid, PidfdFlags, Signal},
};
use tokio::io::unix::AsyncFd;

use crate::{channel::watch, lost::Death};

/// How much of a monitor's standard error is kept.
const COMPLAINT_BYTES: u64 = 8 << 10;

/// A monitor's process. Dropping it kills nothing: see [`Newborn`].
#[derive(Debug)]
pub(crate) struct Process {
    pidfd: AsyncFd<OwnedFd>,
    parentage: Parentage,
}

#[derive(Debug)]
enum Parentage {
    /// We started it: we reap it, and hold what it writes to its standard error.
    Ours { child: Child, complaint: File },
    /// Someone else did.
    Foreign,
}

/// A process whose launch is not finished. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Newborn(Option<Process>);

impl Newborn {
    pub(crate) fn process(&self) -> Option<&Process> {
        self.0.as_ref()
    }

    pub(crate) fn process_mut(&mut self) -> Option<&mut Process> {
        self.0.as_mut()
    }

    /// Its id in our PID namespace.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.0.as_ref().and_then(Process::pid)
    }

    /// The launch is finished: the process lives on.
    pub(crate) fn grown(mut self) -> Option<Process> {
        self.0.take()
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        let Some(process) = self.0.take() else { return };
        // It fails only when the process is dead already.
        drop(process.kill());
        if let Parentage::Ours { mut child, .. } = process.parentage {
            // A drop must not wait. The thread lives as long as a killed process takes to go.
            let reaper = thread::Builder::new().name("reaper".to_owned());
            drop(reaper.spawn(move || child.wait()));
        }
    }
}

/// Starts the monitor with the socket as its standard input: the only thing that it inherits, beside a bounded place to
/// complain to.
///
/// A PID namespace is for children: the thread that asks for it does not enter it itself. So a thread is made for that,
/// starts the monitor and ends; the monitor is the first process of the namespace without a fork of its own.
pub(crate) fn start(program: &Path, socket: OwnedFd) -> io::Result<Newborn> {
    let complaint = complaint_file()?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null());
    command.stderr(Stdio::from(complaint.try_clone()?));
    let starter = thread::Builder::new()
        .name("monitor-starter".to_owned())
        .spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).map_err(|errno| {
                io::Error::other(format!("make a PID namespace: {errno}; run as root"))
            })?;
            command.spawn()
        })?;
    let child = starter
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the starting thread panicked")))?;
    Newborn::adopt(child, complaint)
}

impl Newborn {
    fn adopt(mut child: Child, complaint: File) -> io::Result<Self> {
        let opened = || -> io::Result<AsyncFd<OwnedFd>> {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| io::Error::other("the kernel gave no process id"))?;
            // The id can't be another's yet: we have not reaped it.
            watch(rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?)
        };
        match opened() {
            Ok(pidfd) => {
                let parentage = Parentage::Ours { child, complaint };
                Ok(Self(Some(Process { pidfd, parentage })))
            }
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }
}

impl Process {
    /// A process by the descriptor that it passed.
    pub(crate) fn foreign(pidfd: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            pidfd: watch(pidfd)?,
            parentage: Parentage::Foreign,
        })
    }

    /// Its id in our PID namespace.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.parentage {
            Parentage::Ours { child, .. } => Some(child.id()),
            Parentage::Foreign => {
                let path = format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd());
                let text = fs::read_to_string(path).ok()?;
                text.lines()
                    .find_map(|line| line.strip_prefix("Pid:"))?
                    .trim()
                    .parse()
                    .ok()
            }
        }
    }

    pub(crate) fn kill(&self) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(
            self.pidfd.get_ref(),
            Signal::KILL,
        )?)
    }

    /// Returns when the process is gone. Cancel-safe.
    pub(crate) async fn gone(&self) {
        // Only a runtime that shuts down refuses; then nobody waits for the answer.
        drop(self.pidfd.readable().await);
    }

    /// Reaps the process, if it is gone, and tells how it died. Gives the same answer again.
    pub(crate) fn reap(&mut self) -> Death {
        match &mut self.parentage {
            Parentage::Ours { child, .. } => match child.try_wait() {
                Ok(Some(status)) => Death::Known(status),
                _ => Death::Unknown,
            },
            Parentage::Foreign => Death::Unknown,
        }
    }

    /// What it wrote to its standard error.
    pub(crate) fn complaint(&self) -> String {
        let Parentage::Ours { complaint, .. } = &self.parentage else {
            return String::new();
        };
        let mut bytes = vec![0; usize::try_from(COMPLAINT_BYTES).unwrap_or_default()];
        let read = complaint.read_at(&mut bytes, 0).unwrap_or_default();
        let text = bytes.get(..read).unwrap_or_default();
        let end = text
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(text.len());
        String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned()
    }
}

/// A file in memory of a fixed size: a monitor that has been taken over can't fill the host's memory with complaints.
fn complaint_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("complaint", flags)?);
    file.set_len(COMPLAINT_BYTES)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    file.seek(SeekFrom::Start(0))?;
    file.flush()?;
    Ok(file)
}
