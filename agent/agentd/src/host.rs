//! The first moments of an agent on a host: it waits for its starter, and makes the namespaces that its pod has of its own, so that what its containers
//! share is what it is in itself, as in a guest. Main function: [`prepare`]. Above: `main`.

use std::{
    ffi::CStr,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::{
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
};
use thiserror::Error;

use crate::{
    arguments::{Own, Setting},
    host_mounts::HostMounts,
    sys,
};

/// An attempt without which the pod would have less of its own than it was promised.
#[derive(Debug, Error)]
pub(crate) enum HostError {
    #[error("wait for the word to begin: whoever started this agent went away without it")]
    NoWord,
    #[error("keep hold of the host's mount namespace")]
    HostMounts(#[source] io::Error),
    #[error("enter the network namespace {path}")]
    Network { path: PathBuf, source: io::Error },
    #[error("bring the loopback interface up")]
    Loopback(#[source] io::Error),
    #[error("make the pod's own namespaces; run as root")]
    Namespaces(#[source] io::Error),
    #[error("keep the agent's mounts from the host")]
    Slave(#[source] io::Error),
    #[error("mount {kind} on {target}")]
    Mount {
        kind: &'static str,
        target: &'static str,
        source: io::Error,
    },
}

/// A pod's shared memory, as container runtimes have it.
const SHM_OPTIONS: &CStr = c"mode=1777,size=65536k";

/// Makes the process the pod's. To be called once, with one thread. Gives the way back to the host's mounts, where the agent has its own.
pub(crate) fn prepare(setting: &Setting) -> Result<Option<HostMounts>, HostError> {
    if setting.waits {
        wait_for_word()?;
    }
    let own = &setting.own;
    if let Some(path) = &own.network {
        enter_network(path)?;
    }
    let theirs = File::open("/proc/self/ns/mnt").map_err(HostError::HostMounts)?;
    let flags = flags(own);
    if !flags.is_empty() {
        unshare(flags).map_err(|errno| HostError::Namespaces(errno.into()))?;
    }
    if !own.mounts {
        return Ok(None);
    }
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", slave).map_err(|errno| HostError::Slave(errno.into()))?;
    if own.ipc {
        mount_ipc()?;
    }
    Ok(Some(HostMounts::new(theirs)))
}

/// Its end without a byte is the end of whoever started us.
fn wait_for_word() -> Result<(), HostError> {
    io::stdin()
        .read_exact(&mut [0])
        .map_err(|_end| HostError::NoWord)
}

fn enter_network(path: &Path) -> Result<(), HostError> {
    let failed = |source| HostError::Network {
        path: path.to_owned(),
        source,
    };
    let namespace = File::open(path).map_err(failed)?;
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
    sys::loopback_up().map_err(HostError::Loopback)
}

fn flags(own: &Own) -> CloneFlags {
    let wanted = [
        (own.mounts, CloneFlags::CLONE_NEWNS),
        (own.ipc, CloneFlags::CLONE_NEWIPC),
        (own.uts, CloneFlags::CLONE_NEWUTS),
    ];
    let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
    wanted.map(|(_, flag)| flag).collect()
}

/// What containers share of an IPC namespace beside its numbers: they bind these.
fn mount_ipc() -> Result<(), HostError> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (kind, target, options) in [
        ("tmpfs", "/dev/shm", Some(SHM_OPTIONS)),
        ("mqueue", "/dev/mqueue", None),
    ] {
        match mount(kind, target, kind, quiet, options) {
            // A host without the folder has no such queues; a container that binds it says so.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                return Err(HostError::Mount {
                    kind,
                    target,
                    source: errno.into(),
                });
            }
        }
    }
    Ok(())
}
