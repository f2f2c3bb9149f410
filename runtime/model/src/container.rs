//! What to run in a container, as plain values. Main type: [`ContainerSpec`]. `pod` turns it into an OCI runtime specification.

use serde::{Deserialize, Serialize};

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The command and its arguments; never empty.
    pub args: Vec<String>,
    /// NAME=value, in order; a later one wins.
    pub env: Vec<String>,
    /// Working directory, absolute.
    pub cwd: String,
    /// `user[:group]`, names or numbers, as an image says it; empty is root. Names are looked up in the container's own
    /// /etc/passwd and /etc/group, by the agent: the host never reads an image's files.
    pub user: String,
    /// Whether standard input is connected.
    pub stdin: bool,
    /// A terminal instead of pipes.
    pub terminal: Option<Terminal>,
    /// What it may use.
    pub limits: Limits,
    /// No writable layer above the image.
    pub read_only_root: bool,
    /// Set-user-ID programs and file capabilities give nothing (prctl(2), PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
}

/// A terminal and its first size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// First size; `None` leaves the kernel's.
    pub size: Option<WindowSize>,
}

/// Size of a terminal's window, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Width.
    pub columns: u16,
    /// Height.
    pub rows: u16,
}

/// What a container may use; `None` is no limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// cgroup v2 `memory.max`, in bytes.
    pub memory_bytes: Option<u64>,
    /// cgroup v2 `pids.max`.
    pub pids: Option<u32>,
}
