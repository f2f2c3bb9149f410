//! What a pod and its containers are to be: plain values and open files, everything decided. Main types: [`PodPlan`], [`Identity`],
//! [`ContainerPlan`]. Made by a front door, used by `launch` and by the owner.

use std::{any::Any, collections::BTreeMap, fmt, fs::File, os::fd::OwnedFd, path::PathBuf};

use model::{
    ContainerId, ContainerSpec, HostVolume, HugePages, Mac, Mount, PodId, PodNetwork,
    UserNamespace, VmSize,
};

use crate::{Deadlines, cgroup::CgroupPlan, container::Note, scratch::ScratchPlan};

/// One pod, and what it is to live in.
#[derive(Debug)]
pub struct PodPlan {
    /// Its id, which names its run folder and its record.
    pub id: PodId,
    /// Folder of all run folders: sockets and locks.
    pub pods_dir: PathBuf,
    /// Whether the pod outlives this process.
    pub lifetime: Lifetime,
    /// Where its cgroup on this host is to be; none on a host without cgroup v2.
    pub cgroup: Option<CgroupPlan>,
    /// What it lives in.
    pub home: HomePlan,
    /// How long to wait for what.
    pub deadlines: Deadlines,
}

/// What a pod is to live in.
#[derive(Debug)]
pub enum HomePlan {
    /// A VM of its own.
    Guest(Box<GuestPlan>),
    /// The node itself: its containers are ordinary ones.
    Host(HostPlan),
}

/// The VM of one pod.
#[derive(Debug)]
pub struct GuestPlan {
    /// The monitor program.
    pub monitor: PathBuf,
    /// The share server program, for the pod's first shared folder.
    pub share_server: PathBuf,
    /// Unprivileged user id and group id that the monitor becomes.
    pub monitor_identity: (u32, u32),
    /// The guest's kernel, open for reading.
    pub kernel: File,
    /// The guest's root, open for reading.
    pub guest_image: File,
    /// Its disk for writable layers; without one they lie in the guest's memory.
    pub scratch: Option<ScratchPlan>,
    /// How large the VM is.
    pub size: VmSize,
    /// What its kernel sets aside of that.
    pub huge_pages: Vec<HugePages>,
    /// Whether the guest's console is written to `console.log` in the run folder; the kernel talks then.
    pub console_log: bool,
    /// Whether its kernel has AppArmor on, so that it can be given profiles of the node.
    pub apparmor: bool,
    /// Words added to the kernel's command line.
    pub kernel_arguments: String,
    /// Functions of the host that it is given by VFIO. With any, all of its memory is pinned from the start.
    pub functions: Vec<HostFunction>,
    /// How many it may be given at a time while it runs, beside those; fewer where it has as many as a VM can have.
    pub later_functions: u8,
}

/// A function of the host that VFIO has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostFunction {
    /// Where it is: `0000:41:00.0`.
    pub address: String,
    /// Its IOMMU group, where that has a node below /dev/vfio.
    pub group: Option<u32>,
    /// Its node below /dev/vfio/devices, where it has one: `vfio3`.
    pub cdev: Option<String>,
}

/// A pod on the node. What it has not of its own, it shares with the node.
#[derive(Debug)]
pub struct HostPlan {
    /// The agent's program.
    pub agent: PathBuf,
    /// Folder of the writable layers of all such pods.
    pub layers_dir: PathBuf,
    /// The network namespace that the CNI plugins have filled; none is the node's.
    pub own_network: Option<PathBuf>,
    /// System V IPC, POSIX queues and /dev/shm.
    pub own_ipc: bool,
    /// Its host name.
    pub own_host_name: bool,
}

/// Whether a pod outlives the process that started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends with this process, and its record with its VM: for a command in a terminal.
    WithLauncher,
    /// It lives until it is stopped, and its record until it is removed: for a daemon, which may be restarted. The record lies in a
    /// folder of its own in this one.
    UntilRemoved {
        /// Folder of all records.
        records_dir: PathBuf,
    },
}

/// What makes a VM, or an agent on the node, this pod. On the node there are no NICs and no network to tell: its namespace has all of it.
#[derive(Debug, Default)]
pub struct Identity {
    /// The front door's own, kept with the pod.
    pub note: Note,
    /// Host name in the guest.
    pub hostname: String,
    /// Name with dots to value.
    pub sysctls: BTreeMap<String, String>,
    /// Its network devices.
    pub nics: Vec<Nic>,
    /// What the guest does with them; none leaves only `lo`.
    pub network: Option<PodNetwork>,
    /// Whether there is a PID namespace that its containers may share.
    pub share_pid_namespace: bool,
    /// The user namespace that all its containers are in.
    pub user_namespace: Option<UserNamespace>,
    /// Every container's /etc/resolv.conf, at most 64 KiB; empty leaves the images' own.
    pub resolv_conf: Vec<u8>,
    /// The same for /etc/hosts.
    pub hosts: Vec<u8>,
}

/// One container.
#[derive(Debug)]
pub struct ContainerPlan {
    /// Its id.
    pub id: ContainerId,
    /// The front door's own, kept with the container.
    pub note: Note,
    /// What it runs.
    pub spec: ContainerSpec,
    /// Its root file system.
    pub root: Root,
    /// Where its output goes.
    pub output: OutputTo,
    /// What it mounts, each possible after those before it.
    pub mounts: Vec<MountPlan>,
    /// The compiled policy with its AppArmor profile, for the guest's kernel; on the node the kernel has it already.
    pub apparmor_policy: Option<Vec<u8>>,
}

/// A mount of a container.
#[derive(Debug)]
pub struct MountPlan {
    /// Where and how.
    pub mount: Mount,
    /// What.
    pub source: VolumeSource,
}

/// What is mounted.
pub enum VolumeSource {
    /// Something of the host's.
    Host(HostVolume),
    /// An image: in a VM a read-only disk of the container's own.
    Image {
        /// What lies end to end on the disk.
        segments: Vec<RootSegment>,
        /// What of it; empty is all.
        sub_path: String,
        /// Held while the container may use it.
        hold: Hold,
    },
}

impl fmt::Debug for VolumeSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(volume) => out.debug_tuple("Host").field(volume).finish(),
            Self::Image {
                segments, sub_path, ..
            } => out
                .debug_struct("Image")
                .field("segments", segments)
                .field("sub_path", sub_path)
                .finish_non_exhaustive(),
        }
    }
}

/// Where a container's output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputTo {
    /// To whoever starts it, as streams.
    Caller,
    /// To nobody, unless somebody attaches.
    Nowhere,
    /// To this log file.
    Log(PathBuf),
}

/// A root file system: one read-only disk.
pub struct Root {
    /// What lies end to end on the disk.
    pub segments: Vec<RootSegment>,
    /// Size of the writable layer above it, in bytes; 0 makes the root read-only.
    pub writable_bytes: u64,
    /// Held while the container may use it: the lock that keeps the image from being removed.
    pub hold: Hold,
}

/// What a front door lends to a pod and gets back, by its drop, when the pod doesn't need it any more.
pub type Hold = Box<dyn Any + Send + Sync>;

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
    /// Open for reading: for a VM.
    pub file: File,
    /// Where it is: for an agent on the node.
    pub path: PathBuf,
    /// Its length, a multiple of 4096.
    pub length_bytes: u64,
}

/// One more process in a running container.
#[derive(Debug, Clone)]
pub struct ExecPlan {
    /// The command and its arguments; never empty.
    pub args: Vec<String>,
    /// Whether standard input is connected.
    pub stdin: bool,
    /// A terminal instead of pipes.
    pub terminal: Option<model::Terminal>,
}

/// A network device of the pod's VM; the pod's network says what the guest does with it.
#[derive(Debug)]
pub struct Nic {
    /// Its interface's name in the guest.
    pub name: String,
    /// By which the guest finds it.
    pub mac: Mac,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Its pairs of queues.
    pub queues: Vec<NicQueue>,
}

/// The host's side of one pair of queues.
#[derive(Debug)]
pub struct NicQueue {
    /// A queue of its tap, with 12-byte headers (IFF_VNET_HDR, TUNSETVNETHDRSZ).
    pub tap: OwnedFd,
    /// /dev/vhost-net, opened for this pair, if the host has it.
    pub vhost: Option<OwnedFd>,
}
