//! The jail: what the process gives up before it looks at anything that a guest or an image has a hand in. Main function:
//! [`shut`]. The other half, a system call filter per kind of thread, is in [`filter`].
//!
//! ```text
//! only the message's descriptors     descriptors    before the message comes
//! namespaces of its own              namespaces  ┐
//! an empty, read-only root           root        │  right after the message, while the process has one thread:
//! another user, no capability        privileges  │  all of it belongs to the thread, and threads made later inherit it
//! no file system access (Landlock)   landlock    ┘
//! a filter per kind of thread        filter         by each thread itself, before the processors are let go
//! ```
//!
//! It shuts before the machine is assembled, because nothing there needs a path or a privilege. And a host whose KVM runs helper
//! threads inside the process (Linux 6.12 on) lets no process with a machine into a new user namespace: that wants one thread.
//!
//! There is no way around it. What a host does not offer is an error that names it.

pub(crate) mod descriptors;
pub(crate) mod filter;
pub(crate) mod filters;
mod landlock;
mod namespaces;
mod privileges;
mod root;

use std::io;

use monitor::Launch;
use thiserror::Error;

use crate::limits;

/// Why the jail could not be shut. Then there is no machine.
#[derive(Debug, Error)]
pub(crate) enum JailError {
    /// The launcher did not make a PID namespace.
    #[error(
        "the monitor has process id {pid} and not 1: it must be the first process of a PID namespace; start it through cofferdam"
    )]
    NotFirst {
        /// What it has.
        pid: i32,
    },
    /// The host refused a part of it.
    #[error("shut the monitor's jail: {attempt}; {remedy}")]
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

/// Shuts the jail. Call it with a single thread.
pub(crate) fn shut(launch: &Launch) -> Result<(), JailError> {
    namespaces::enter()?;
    root::replace()?;
    privileges::limit(&limits::resources(launch))?;
    privileges::give_up(launch.identity)?;
    landlock::deny_all()
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

/// The remedy for what only a bug or a foreign seccomp policy around us refuses.
const AS_ROOT: &str =
    "start it as root with all capabilities, outside of other containers' restrictions";
