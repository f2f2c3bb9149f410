//! The handle to one server. Main types: [`Server`] and [`ServerRecord`], which outlives its daemon. Above: `pod`. Below: `launch`,
//! `mount` and `process`.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    launch::{self, LaunchError, ServerPlan},
    mount::{self, Kind, MountError},
    process::{Process, ProcessError},
};

/// Mount points of each kind in a server's tree: more volumes than a pod has.
const MOUNT_POINTS: u16 = 128;

/// Where the server's tree is in its root.
const TREE: &str = "/shares";

/// What the guest may do in a share. The host holds it to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read and write.
    Writable,
    /// Read; what is mounted below the folder may be writable, as with Kubernetes' `readOnly`.
    ReadOnly,
    /// Read, also in what is mounted below (`recursiveReadOnly`).
    RecursiveReadOnly,
}

/// Why a share was not added.
#[derive(Debug, Error)]
pub enum AddError {
    /// The server is gone; so are the pod's shares.
    #[error("add a share of {path}: the share server with process id {pid} is gone")]
    Gone {
        /// The host's path.
        path: PathBuf,
        /// The server's process id.
        pid: u32,
    },
    /// No mount point is left.
    #[error(
        "add a share of {path}: the pod has {MOUNT_POINTS} of them already, which is all that fit"
    )]
    Full {
        /// The host's path.
        path: PathBuf,
    },
    /// It could not be mounted.
    #[error("add a share of {path}")]
    Mount {
        /// The host's path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: MountError,
    },
}

/// What has to be kept of a server to attach to it again: after each launch, [`Server::add`] and [`Server::remove`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// Its process id on the host.
    pub pid: u32,
    /// When it was started, in ticks since the host was.
    pub started: u64,
    /// The names in its tree that are taken.
    pub shares: BTreeSet<String>,
}

/// One server. Dropping the handle does not end it: it ends with the monitor's end of its socket, or by [`Server::end`].
#[derive(Debug)]
pub struct Server {
    process: Process,
    shares: BTreeSet<String>,
}

impl Server {
    /// Launches a server and returns when it is ready, with the socket that its monitor gets.
    ///
    /// # Errors
    /// When that fails; then there is no process.
    pub fn launch(plan: &ServerPlan) -> Result<(Self, OwnedFd), LaunchError> {
        let (process, socket) = launch::launch(plan, MOUNT_POINTS)?;
        let server = Self {
            process,
            shares: BTreeSet::new(),
        };
        Ok((server, socket))
    }

    /// Attaches to a server that this daemon, or one before it, launched.
    ///
    /// # Errors
    /// When it is gone.
    pub fn attach(record: ServerRecord) -> Result<Self, ProcessError> {
        let process = Process::find(record.pid, record.started)?;
        Ok(Self {
            process,
            shares: record.shares,
        })
    }

    /// What to keep of it.
    #[must_use]
    pub fn record(&self) -> ServerRecord {
        ServerRecord {
            pid: self.process.pid(),
            started: self.process.started(),
            shares: self.shares.clone(),
        }
    }

    /// A descriptor that can be read when the server has ended (pidfd_open(2)).
    ///
    /// # Errors
    /// When this process has no descriptor left.
    pub fn watch(&self) -> io::Result<OwnedFd> {
        self.process.as_fd().try_clone_to_owned()
    }

    /// Has it ended?
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.process.is_gone()
    }

    /// Puts a folder or a file of the host into the tree and tells its name there. Symbolic links of the path are followed as the host
    /// does, now and never again.
    ///
    /// # Errors
    /// When there is no such folder or file, or the server is gone. Then nothing is mounted.
    pub fn add(&mut self, path: &Path, access: Access) -> Result<String, AddError> {
        if self.is_gone() {
            return Err(AddError::Gone {
                path: path.to_owned(),
                pid: self.process.pid(),
            });
        }
        let failed = |source| AddError::Mount {
            path: path.to_owned(),
            source,
        };
        let tree = mount::clone(path, access).map_err(failed)?;
        let kind = match tree.kind {
            Kind::Folder => "folder",
            Kind::File => "file",
        };
        let names = (0..MOUNT_POINTS).map(|number| format!("{kind}-{number}"));
        let mut free = names.filter(|name| !self.shares.contains(name));
        let name = free.next().ok_or_else(|| AddError::Full {
            path: path.to_owned(),
        })?;
        mount::attach(self.process.as_fd(), &tree, &place(&name)).map_err(failed)?;
        self.shares.insert(name.clone());
        Ok(name)
    }

    /// Takes a share out of the tree, after the guest has let go of it. One that is not there, or whose server is gone, is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&mut self, name: &str) -> Result<(), MountError> {
        if self.shares.contains(name) && !self.is_gone() {
            mount::detach(self.process.as_fd(), &place(name))?;
        }
        self.shares.remove(name);
        Ok(())
    }

    /// Ends the server and waits until it is gone; its mounts go with it. May be called again.
    ///
    /// # Errors
    /// When it can't be killed, or does not end in time.
    pub fn end(&mut self, deadline: Duration) -> Result<(), ProcessError> {
        self.process.end(deadline)
    }
}

fn place(name: &str) -> PathBuf {
    Path::new(TREE).join(name)
}
