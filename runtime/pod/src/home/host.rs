//! The node as what a pod lives in: an agent runs for the pod as a process of the node's, in the pod's cgroup, and outlives the daemon. Main type: [`HostAgent`].
//!
//! In the pod's run folder are its sockets, its last words and its state; what it mounts is seen by no one else and goes with it. The writable layers
//! of its containers lie in a folder of the pod's own elsewhere ([`HostRecord`]), which the teardown removes.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{DirBuilderExt, FileExt, OpenOptionsExt},
            net::UnixStream,
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use agent_client::Connector;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;

use crate::{cgroup::Cgroup, plan::HostPlan, watched::watched};

/// Its files in the run folder.
const RPC_SOCKET: &str = "agent.sock";
const STDIO_SOCKET: &str = "stdio.sock";
const STATE: &str = "agent";
const LAST_WORDS: &str = "agent.log";

/// Its own cgroup in the pod's, beside its containers': where there are limits, only leaves have processes (cgroup-v2.rst).
const CGROUP: &str = "agent";

/// How much of what it said last is told.
const LAST_WORDS_BYTES: u64 = 1024;

/// Where the agent and libcontainer look for cgroup v2.
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// What a run folder says of a pod on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostRecord {
    /// The folder of the writable layers of its containers.
    pub(crate) layers: PathBuf,
}

/// Why there is no agent for a pod.
#[derive(Debug, Error)]
pub enum HostAgentError {
    /// A pod on the node needs a cgroup.
    #[error(
        "run a pod on the node: it needs a cgroup in {CGROUP_MOUNT}, where cgroup v2 has to be mounted"
    )]
    NoCgroup,
    /// Its folders.
    #[error("make {}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Its program.
    #[error("start the agent {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The one of a pod that was there before.
    #[error("attach to the agent at {}", socket.display())]
    Attach {
        /// Its socket.
        socket: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Writable layers.
    #[error("remove the writable layers in {}", path.display())]
    Layers {
        /// The folder.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// One agent's process. Dropping it leaves the agent as it is.
#[derive(Debug)]
pub(crate) struct HostAgent {
    folder: PathBuf,
    process: OwnedFd,
    /// Told once, by the task that waits for it.
    ending: watch::Receiver<Option<String>>,
}

impl HostRecord {
    pub(crate) fn planned(plan: &HostPlan, pod: &model::PodId) -> Self {
        Self {
            layers: plan.layers_dir.join(pod.as_str()),
        }
    }

    /// Removes the layers, which nothing uses any more. Those that are gone are as they should be. Blocks.
    pub(crate) fn remove_layers(&self) -> Result<(), HostAgentError> {
        match fs::remove_dir_all(&self.layers) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                let path = self.layers.clone();
                Err(HostAgentError::Layers { path, source })
            }
            _ => Ok(()),
        }
    }
}

impl HostAgent {
    /// Starts one for the pod with this run folder. It does nothing before it is in the pod's cgroup.
    pub(crate) async fn launch(
        plan: HostPlan,
        record: HostRecord,
        folder: &Path,
        cgroup: Option<&Cgroup>,
    ) -> Result<Self, HostAgentError> {
        let cgroup = cgroup.cloned().ok_or(HostAgentError::NoCgroup)?;
        let place = folder.to_owned();
        let program = plan.agent.clone();
        let started =
            tokio::task::spawn_blocking(move || start(&plan, &record, &place, &cgroup)).await;
        let failed = |source| HostAgentError::Start {
            program: program.clone(),
            source,
        };
        let (child, process) = started.map_err(|ended| failed(io::Error::other(ended)))??;
        Self::watch(folder, process, Some(child)).map_err(failed)
    }

    /// Finds the one that listens in this run folder, whoever started it. That it answers afterwards, over the same socket, says that the process is the one
    /// that listens and no other that has got its number.
    pub(crate) fn attach(folder: &Path) -> Result<Self, HostAgentError> {
        let socket = folder.join(RPC_SOCKET);
        let attached = || -> io::Result<Self> {
            let stream = UnixStream::connect(&socket)?;
            let peer = rustix::net::sockopt::socket_peercred(&stream)?;
            let process = pidfd_open(peer.pid, PidfdFlags::NONBLOCK)?;
            Self::watch(folder, process, None)
        };
        attached().map_err(|source| HostAgentError::Attach {
            socket: socket.clone(),
            source,
        })
    }

    fn watch(folder: &Path, process: OwnedFd, child: Option<Child>) -> io::Result<Self> {
        let watched = watched(process.try_clone()?)?;
        let (tell, ending) = watch::channel(None);
        let place = folder.to_owned();
        tokio::spawn(async move {
            // Only a runtime that shuts down refuses; then nobody waits for the answer.
            drop(watched.readable().await);
            let status = child.and_then(|mut child| child.try_wait().ok().flatten());
            tell.send_replace(Some(cause(status, &last_words(&place))));
        });
        Ok(Self {
            folder: folder.to_owned(),
            process,
            ending,
        })
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::Unix {
            rpc: self.folder.join(RPC_SOCKET),
            stdio: self.folder.join(STDIO_SOCKET),
        }
    }

    /// Waits for its end, and says how it came.
    pub(crate) async fn ended(&self) -> String {
        let mut ending = self.ending.clone();
        let told = ending.wait_for(Option::is_some).await;
        told.ok()
            .and_then(|cause| cause.clone())
            .unwrap_or_else(|| {
                "the task that watched it is gone: the runtime was shut down".to_owned()
            })
    }

    /// Kills it: what it would have to release goes with its mount namespace and the pod's cgroup.
    pub(crate) async fn stop(&self) -> String {
        // It fails only when the process is gone already.
        pidfd_send_signal(&self.process, Signal::KILL).ok();
        self.ended().await
    }
}

/// Blocks.
fn start(
    plan: &HostPlan,
    record: &HostRecord,
    folder: &Path,
    cgroup: &Cgroup,
) -> Result<(Child, OwnedFd), HostAgentError> {
    let mut command = command(plan, record, folder, cgroup)?;
    make_private(&record.layers)?;
    let state = folder.join(STATE);
    make_private(&state)?;
    let failed = |source| HostAgentError::Start {
        program: plan.agent.clone(),
        source,
    };
    let own = cgroup.path().join(CGROUP);
    fs::create_dir(&own).map_err(|source| HostAgentError::Folder {
        path: own.clone(),
        source,
    })?;
    let last_words = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(LAST_WORDS))
        .map_err(failed)?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(last_words)
        .spawn()
        .map_err(failed)?;
    let begun = begin(&mut child, &own);
    if begun.is_err() {
        // Without its word it ends by itself; this is only sooner.
        drop(child.kill());
        drop(child.wait());
    }
    Ok((child, begun.map_err(failed)?))
}

/// Moves it into its cgroup, and gives it its word.
fn begin(child: &mut Child, cgroup: &Path) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the kernel gave no process id"))?;
    // The number can't be another's yet: we have not reaped it.
    let process = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    fs::write(cgroup.join("cgroup.procs"), child.id().to_string())?;
    let mut stdin = child.stdin.take();
    let stdin = stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
    stdin.write_all(b"\n")?;
    Ok(process)
}

fn command(
    plan: &HostPlan,
    record: &HostRecord,
    folder: &Path,
    cgroup: &Cgroup,
) -> Result<Command, HostAgentError> {
    let below = cgroup.path().strip_prefix(CGROUP_MOUNT);
    let below = below.map_err(|_elsewhere| HostAgentError::NoCgroup)?;
    let socket = |name: &str| format!("unix:{}", folder.join(name).display());
    let mut own = vec!["mounts"];
    own.extend(plan.own_ipc.then_some("ipc"));
    own.extend(plan.own_host_name.then_some("uts"));
    let mut command = Command::new(&plan.agent);
    command
        .args(["--no-init", "--wait", "--own", &own.join(",")])
        .args(["--listen", &socket(RPC_SOCKET)])
        .args(["--stdio", &socket(STDIO_SOCKET)])
        .arg("--state")
        .arg(folder.join(STATE))
        .arg("--cgroup")
        .arg(Path::new("/").join(below))
        .arg("--layers")
        .arg(&record.layers);
    if let Some(path) = &plan.own_network {
        command.arg("--network").arg(path);
    }
    // A terminal's Ctrl-C is for who started us.
    command.env_clear().current_dir("/").process_group(0);
    Ok(command)
}

fn make_private(path: &Path) -> Result<(), HostAgentError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| HostAgentError::Folder {
            path: path.to_owned(),
            source,
        })
}

/// What it wrote last on its standard error; nothing where it can't be read.
fn last_words(folder: &Path) -> String {
    let read = || -> io::Result<String> {
        let file = File::open(folder.join(LAST_WORDS))?;
        let start = file.metadata()?.len().saturating_sub(LAST_WORDS_BYTES);
        let mut bytes = vec![0; usize::try_from(LAST_WORDS_BYTES).unwrap_or_default()];
        let read = file.read_at(&mut bytes, start)?;
        bytes.truncate(read);
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}

fn cause(status: Option<ExitStatus>, last_words: &str) -> String {
    let how = match status {
        Some(status) => status.to_string(),
        None => "nobody saw how".to_owned(),
    };
    match last_words {
        "" => how,
        words => format!("{how}; its last words: {words}"),
    }
}

#[cfg(test)]
mod tests;
