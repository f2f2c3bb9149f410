//! Runs one container, or one more process in it: the seam before libcontainer, which may be replaced behind it. Synchronous.
//! Above: agentd. Its main type is [`Launch`].
//!
//! Containers are made by a process of their own, the *launcher* (this program again, started with [`LAUNCHER_ARGUMENT`]),
//! and not in the agent, because libcontainer forks with the raw `clone3` system call, sets `oom_score_adj` and `dumpable`
//! of the process that calls it, and waits for its own child. In a launcher, which has one thread and one task, none of that
//! can meet the agent's threads, locks or reaping; and when it ends, the container's process becomes the agent's child.
//!
//! ```text
//! agentd ──Launch──► launcher ──libcontainer──► (intermediate) ──► the container's process
//!        ◄─Reply, once the process has been executed or could not be; nothing is left in the second case
//! ```

mod account;
mod annotation;
pub mod cgroup;
mod create;
pub mod deadlines;
mod device_filter;
mod disks;
mod exec;
mod executor;
mod failure;
mod files;
mod folder;
mod guest_devices;
mod identity;
mod idmap;
mod inside;
mod launch;
mod launcher;
mod message;
mod oom_score;
mod pod_namespaces;
mod read_only;
pub mod spec;
mod streams;
mod sys;
mod terminal;
mod user_namespace;
mod volumes;

pub use account::Identity;
pub use disks::{DiskNode, mount_disks};
pub use failure::{Failure, FailureKind};
pub use files::{PodFile, mount_files};
pub use folder::Folder;
pub use idmap::map_owners;
pub use launch::{ChildStdio, Launch, LaunchError, Launched};
pub use launcher::{LAUNCHER_ARGUMENT, launcher_main};
pub use message::WindowSize;
pub use oci_spec::runtime::{Process, Spec};
pub use pod_namespaces::{
    INIT_ARGUMENT, NamespacesPlan, PAUSE_ARGUMENT, PodNamespaces, init_main, join_none,
    join_pid_namespace_of, pause_main,
};
pub use user_namespace::{IdMapping, IdMappings, UserNamespace};
pub use volumes::{VolumeSource, mount_volumes};
