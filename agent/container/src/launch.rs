//! In the agent: starts a launcher, gives it its order, and waits for the outcome. Blocks; call it from a thread that may.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use oci_spec::runtime::{Process, Spec};
use thiserror::Error;

use crate::{
    account::Identity,
    deadlines::LAUNCH_DEADLINE,
    failure::Failure,
    folder::Folder,
    launcher::LAUNCHER_ARGUMENT,
    message::{self, Order, Reply, WindowSize, Work},
    user_namespace::UserNamespace,
};

/// What a new process reads and writes.
#[derive(Debug)]
pub enum ChildStdio {
    /// Three descriptors; without the first it reads from /dev/null.
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A terminal of its own.
    Terminal(WindowSize),
}

/// A process that has been executed. It is, or within moments will be, a child of the caller (or of its child subreaper).
#[derive(Debug)]
pub struct Launched {
    /// In the caller's PID namespace.
    pub pid: i32,
    /// The controlling side of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    /// Who it is, if it is a container's first.
    pub user: Option<Identity>,
}

/// Why there is no process.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The launcher said why, and has left nothing behind of its own.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The launcher did not say; the container's cgroup may hold something.
    #[error("start a launcher for the container")]
    Launcher(#[source] io::Error),
}

/// Where a container is: what all launches for it share.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The agent's program, for example /proc/self/exe.
    pub program: PathBuf,
    pub container_id: String,
    pub folder: Folder,
    /// From the cgroup mount's root, beginning with a slash.
    pub cgroup: PathBuf,
}

impl Launch {
    /// Starts the container's first process. The folder's `root` must be mounted. `user` is the pod's user namespace, which the specification has
    /// joined if there is one.
    ///
    /// # Errors
    /// When the command was not executed.
    pub fn create(
        &self,
        spec: Spec,
        (read_only, user): (bool, Option<UserNamespace>),
        stdio: ChildStdio,
    ) -> Result<Launched, LaunchError> {
        let root = self.folder.root();
        self.launch(
            Work::Create {
                spec: Box::new(spec),
                root,
                read_only,
                user,
            },
            stdio,
        )
    }

    /// Starts one more process.
    ///
    /// # Errors
    /// When the command was not executed.
    pub fn exec(
        &self,
        exec_id: &str,
        process: Process,
        stdio: ChildStdio,
    ) -> Result<Launched, LaunchError> {
        self.launch(
            Work::Exec {
                process: Box::new(process),
                exec_id: exec_id.to_owned(),
            },
            stdio,
        )
    }

    fn launch(&self, work: Work, stdio: ChildStdio) -> Result<Launched, LaunchError> {
        let (terminal, streams) = match stdio {
            ChildStdio::Terminal(window) => (Some(window), Vec::new()),
            ChildStdio::Pipes {
                stdin,
                stdout,
                stderr,
            } => {
                let stdin = stdin.map_or_else(null, Ok).map_err(LaunchError::Launcher)?;
                (None, vec![stdin, stdout, stderr])
            }
        };
        let order = Order {
            container_id: self.container_id.clone(),
            folder: self.folder.path().to_owned(),
            cgroup: self.cgroup.clone(),
            terminal,
            work,
        };
        let (reply, mut fds) =
            ask_launcher(&self.program, &order, &streams).map_err(LaunchError::Launcher)?;
        match reply {
            Reply::Started { pid, user } => Ok(Launched {
                pid,
                terminal: fds.pop(),
                user,
            }),
            Reply::Failed(failure) => Err(failure.into()),
        }
    }
}

fn ask_launcher(
    program: &Path,
    order: &Order,
    streams: &[OwnedFd],
) -> io::Result<(Reply, Vec<OwnedFd>)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(LAUNCH_DEADLINE))?;
    ours.set_write_timeout(Some(LAUNCH_DEADLINE))?;
    let mut launcher = Command::new(program)
        .arg(LAUNCHER_ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()?;
    let fds: Vec<_> = streams.iter().map(AsFd::as_fd).collect();
    let answer = message::send(&ours, order, &fds).and_then(|()| message::receive(&ours));
    if answer.is_err() {
        // It hangs or has died. The agent's reaper collects it either way, so only the kill is needed here.
        drop(launcher.kill());
    }
    answer
}

fn null() -> io::Result<OwnedFd> {
    Ok(File::open("/dev/null")?.into())
}
