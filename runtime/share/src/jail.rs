//! The jail: what the process gives up before it hears anything from the guest. Main function: [`shut`]. The other half, a system call
//! filter for its threads, is in [`filter`].
//!
//! ```text
//! only the socket and two outputs    descriptors
//! namespaces of its own              here         ┐
//! a root with empty mount points     root         │  while the process has one thread: threads made later inherit it
//! eight capabilities, limits         privileges   ┘
//! one filter for all threads         filter          by each thread itself, before the first message
//! ```
//!
//! It stays user 0: files belong to whom the guest says. What it can do with that ends at its root, where nothing is but what the
//! launcher mounts there, without devices, and at the filter.

pub mod descriptors;
pub mod filter;
mod filters;
mod privileges;
mod root;

use std::io;

use nix::sched::{CloneFlags, unshare};
use thiserror::Error;

pub use root::TREE;

/// Why the jail could not be shut. Then there is no server.
#[derive(Debug, Error)]
pub enum JailError {
    /// The launcher did not make a PID namespace.
    #[error(
        "the share server has process id {pid} and not 1: it must be the first process of a PID namespace; start it through cofferdam"
    )]
    NotFirst {
        /// What it has.
        pid: i32,
    },
    /// The host refused a part of it.
    #[error("shut the share server's jail: {attempt}; {remedy}")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// What the host has to offer for it.
        remedy: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// The remedy for what only a foreign seccomp policy around us refuses.
const AS_ROOT: &str =
    "start it as root with all capabilities, outside of other containers' restrictions";

/// Shuts the jail, with so many mount points of each kind. Call it with a single thread.
pub fn shut(mount_points: u16) -> Result<(), JailError> {
    let pid = rustix::process::getpid().as_raw_pid();
    if pid != 1 {
        return Err(JailError::NotFirst { pid });
    }
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    let remedy = "the kernel needs mount, network, IPC, UTS and cgroup namespaces, and the server has to be started as root";
    unshare(namespaces).map_err(refused("leave the host's namespaces", remedy))?;
    rustix::process::setsid().map_err(refused("leave the launcher's session", AS_ROOT))?;
    root::replace(mount_points)?;
    privileges::limit()?;
    privileges::reduce()
}

/// Names an attempt and what the host needs for it, for `map_err`.
fn refused<E: Into<io::Error>>(
    attempt: &'static str,
    remedy: &'static str,
) -> impl FnOnce(E) -> JailError {
    move |source| JailError::Refused {
        attempt,
        remedy,
        source: source.into(),
    }
}
