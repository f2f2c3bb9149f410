//! Launches a share server, puts folders of the host into its tree, and attaches to it again after a restart. Main type: [`Server`], the
//! handle to one server. Below: `cofferdam-share`, the program. Above: `pod`.
//!
//! ```text
//! Server::launch ──► Server + socket for the monitor ──add, remove──► end
//!     record ──Server::attach──► Server                (or by itself, when the monitor closes the socket)
//! ```
//!
//! A host path is resolved once, here, by whoever may see the host. What it names is cloned as a detached mount, closed against writing if
//! asked for, and moved onto an empty mount point of the server's root. The server opens no host path and needs no right to mount.
//!
//! Everything here may wait: call it on a thread that may block.

mod server;

mod launch;
mod mount;
mod process;

mod sys;

pub use launch::{LaunchError, ServerPlan};
pub use mount::MountError;
pub use process::ProcessError;
pub use server::{Access, AddError, Server, ServerRecord};
