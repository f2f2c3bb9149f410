//! What a pod is to be: plain values and open files, everything decided. Main type: [`PodPlan`]. Made by a front door, used by
//! `start`.

use std::{any::Any, fmt, fs::File, path::PathBuf};

use model::{ContainerId, ContainerSpec, PodId, VmSize};

use crate::Deadlines;

/// One pod with its first container.
#[derive(Debug)]
pub struct PodPlan {
    /// Its id, which names its run folder.
    pub id: PodId,
    /// Host name in the guest.
    pub hostname: String,
    /// Folder of all run folders.
    pub pods_dir: PathBuf,
    /// The monitor program.
    pub monitor: PathBuf,
    /// Unprivileged user id and group id that the monitor becomes.
    pub monitor_identity: (u32, u32),
    /// The guest's kernel, open for reading.
    pub kernel: File,
    /// The guest's root, open for reading.
    pub guest_image: File,
    /// How large the VM is.
    pub size: VmSize,
    /// Whether the guest's console is written to `console.log` in the run folder; the kernel talks then.
    pub console_log: bool,
    /// Words added to the kernel's command line.
    pub kernel_arguments: String,
    /// Whether the VM ends with this process: for a command in a terminal.
    pub ends_with_launcher: bool,
    /// How long to wait for what.
    pub deadlines: Deadlines,
    /// What to run.
    pub container: FirstContainer,
}

/// The container that starts with the pod.
#[derive(Debug)]
pub struct FirstContainer {
    /// Its id.
    pub id: ContainerId,
    /// What it runs.
    pub spec: ContainerSpec,
    /// Its root file system.
    pub root: Root,
}

/// A root file system: one read-only disk.
pub struct Root {
    /// What lies end to end on the disk.
    pub segments: Vec<RootSegment>,
    /// Size of the writable layer above it, in bytes; 0 makes the root read-only.
    pub writable_bytes: u64,
    /// Held while the pod lives, dropped after its teardown: the lock that keeps the image from being removed.
    pub hold: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Root {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Root")
            .field("segments", &self.segments)
            .field("writable_bytes", &self.writable_bytes)
            .finish_non_exhaustive()
    }
}

/// A whole file on the disk.
#[derive(Debug)]
pub struct RootSegment {
    /// Open for reading.
    pub file: File,
    /// Its length, a multiple of 4096.
    pub length_bytes: u64,
}
