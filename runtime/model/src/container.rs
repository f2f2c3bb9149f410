//! What to run in a container, as plain values. Main type: [`ContainerSpec`]. Beside it `user`, `security` and `limits` say who it is, what it
//! may do and how much of it. `pod` turns all of it into an OCI runtime specification.

use serde::{Deserialize, Serialize};

use crate::{
    id::ContainerId,
    limits::{Limits, Rlimit},
    security::Security,
    user::User,
};

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The command and its arguments; never empty.
    pub args: Vec<String>,
    /// NAME=value, in order; a later one wins.
    pub env: Vec<String>,
    /// Working directory, absolute.
    pub cwd: String,
    /// Who its processes are.
    pub user: User,
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
    /// What it may do.
    #[serde(default)]
    pub security: Security,
    /// Which namespaces are its own.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// Limits of its processes (setrlimit(2)), each kind at most once. RLIMIT_NOFILE has a default of its own.
    #[serde(default)]
    pub rlimits: Vec<Rlimit>,
    /// How soon the kernel's OOM killer picks its processes: -1000 (never) to 1000; `None` leaves the agent's, 0.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
}

impl ContainerSpec {
    /// This command as root, alone in its namespaces, with the default profile and without limits.
    #[must_use]
    pub fn new(args: Vec<String>) -> Self {
        Self {
            args,
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: User::default(),
            stdin: false,
            terminal: None,
            limits: Limits::default(),
            read_only_root: false,
            no_new_privileges: false,
            security: Security::default(),
            namespaces: Namespaces::default(),
            rlimits: Vec::new(),
            oom_score_adj: None,
        }
    }
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

/// Whose each namespace is. Mounts are always the container's own, the network is always the pod's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Processes. The pod's shows those of all its containers, and the agent's.
    pub pid: NamespaceOf,
    /// Processes of this container of the pod, whatever `pid` says.
    pub pid_target: Option<ContainerId>,
    /// System V IPC, POSIX queues, and with them /dev/shm. Kubernetes' containers share their pod's; a pod's sysctls are in it.
    pub ipc: NamespaceOf,
    /// Host name.
    pub uts: NamespaceOf,
    /// What of the cgroups is seen.
    pub cgroup: NamespaceOf,
    /// Users: the container's root is another user in the guest. It is the pod's, so all its containers say the same.
    pub user: Option<UserNamespace>,
}

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceOf {
    /// The container's alone.
    #[default]
    Container,
    /// The pod's: the guest's first, or that of the pod's user namespace.
    Pod,
    /// The node's: only of a pod on the host.
    Node,
}

/// Who a process is, in numbers (credentials(7)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups, each once.
    pub groups: Vec<u32>,
}

/// A user namespace (user_namespaces(7)): one range each, as Kubernetes has it, and both have to hold 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// Users.
    pub uids: IdRange,
    /// Groups.
    pub gids: IdRange,
}

/// A range of ids and what it is in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first in the container.
    pub container: u32,
    /// The first in the guest.
    pub guest: u32,
    /// How many; never 0.
    pub length: u32,
}
