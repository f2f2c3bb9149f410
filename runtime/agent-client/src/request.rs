//! What a caller asks for, in plain types, and its form on the wire.

use std::{collections::BTreeMap, path::PathBuf};

use agent::agent as wire;
use model::{IdRange, PodNetwork, UserNamespace};
use serde::{Deserialize, Serialize};

use crate::{network, volume::VolumeMount};

/// Names one process of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRef {
    pub container_id: String,
    /// Empty for the container's first process.
    pub exec_id: String,
}

/// What the guest is to become.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodStart {
    pub pod_id: String,
    /// Empty leaves the guest's.
    pub hostname: String,
    /// Name with dots to value.
    pub sysctls: BTreeMap<String, String>,
    /// To have online; 0 leaves them.
    pub processors: u32,
    /// Nanoseconds since 1970-01-01 UTC; 0 leaves the guest's clock.
    pub wall_clock_ns: i64,
    /// Made before the container is started; none leaves only `lo`.
    pub network: Option<PodNetwork>,
    /// Every container's /etc/resolv.conf, at most 64 KiB; empty leaves the images' own.
    pub resolv_conf: Vec<u8>,
    /// The same for /etc/hosts.
    pub hosts: Vec<u8>,
    /// Makes a PID namespace for the containers that ask for it.
    pub share_pid_namespace: bool,
    /// Where the disk for writable layers is on the guest's bus; empty: they lie in guest memory.
    pub scratch_pci_address: String,
    /// Makes a user namespace for all its containers.
    pub user_namespace: Option<UserNamespace>,
    /// Started in the same call.
    pub container: Option<ContainerStart>,
}

/// A container to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStart {
    pub container_id: String,
    pub root: Root,
    /// At most this many bytes may be written, to the pod's scratch disk or else into guest memory; 0 makes the root read-only.
    pub writable_bytes: u64,
    /// The OCI runtime specification as JSON, at most 1 MiB.
    pub oci_spec: Vec<u8>,
    pub stdio: Stdio,
    /// In the pod's PID namespace, whatever the specification says.
    pub share_pid_namespace: bool,
    /// In the PID namespace of this container, if it says one.
    pub target_container_id: String,
    /// The agent kills its other processes when its first has ended, also in its host's PID namespace.
    pub ends_with_first_process: bool,
    /// Each is possible after those before it.
    pub mounts: Vec<VolumeMount>,
    /// Disks that it has as block devices.
    pub disks: Vec<ContainerDisk>,
}

/// A disk that a container has as a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerDisk {
    pub pci_address: String,
    /// Absolute.
    pub path: String,
    /// Some of `r`, `w` and `m`.
    pub access: String,
    /// Permission bits of the node.
    pub mode: u32,
    /// Of the node, unless the pod has a user namespace.
    pub uid: u32,
    /// The same.
    pub gid: u32,
}

/// What is below a container's writable layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The EROFS on the disk at this PCI address of the guest.
    Disk { pci_address: String },
    /// A directory; only for an agent on a host.
    Directory { path: String },
    /// The files of an image on the host; only for an agent there.
    Files(Vec<ImageFile>),
}

/// One file of an image on a host; together they are what a guest has on one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Absolute.
    pub path: PathBuf,
    pub length_bytes: u64,
}

/// The streams of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stdio {
    pub stdin: bool,
    /// Columns and rows; 0 leaves the kernel's.
    pub terminal: Option<(u32, u32)>,
}

/// One more process to start in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessExec {
    /// The exec id must not be empty.
    pub process: ProcessRef,
    /// The OCI `process` object as JSON, at most 1 MiB.
    pub oci_process: Vec<u8>,
    pub stdio: Stdio,
}

impl From<PodStart> for wire::StartPodRequest {
    fn from(pod: PodStart) -> Self {
        Self {
            pod_id: pod.pod_id,
            hostname: pod.hostname,
            sysctls: pod.sysctls.into_iter().collect(),
            processors: pod.processors,
            wall_clock_ns: pod.wall_clock_ns,
            network: pod.network.as_ref().map(network::to_wire).into(),
            resolv_conf: pod.resolv_conf,
            hosts: pod.hosts,
            share_pid_namespace: pod.share_pid_namespace,
            scratch_pci_address: pod.scratch_pci_address,
            user_namespace: pod.user_namespace.map(user_namespace).into(),
            container: pod.container.map(wire::StartContainerRequest::from).into(),
            ..Self::default()
        }
    }
}

fn user_namespace(user: UserNamespace) -> wire::UserNamespace {
    let list = |range: IdRange| {
        vec![wire::IdMapping {
            container_id: range.container,
            guest_id: range.guest,
            length: range.length,
            ..wire::IdMapping::default()
        }]
    };
    wire::UserNamespace {
        uids: list(user.uids),
        gids: list(user.gids),
        ..wire::UserNamespace::default()
    }
}

impl From<ContainerStart> for wire::StartContainerRequest {
    fn from(container: ContainerStart) -> Self {
        let mut root = wire::RootFileSystem {
            writable_bytes: container.writable_bytes,
            ..wire::RootFileSystem::default()
        };
        match container.root {
            Root::Disk { pci_address } => root.image_pci_address = pci_address,
            Root::Directory { path } => root.directory = path,
            Root::Files(files) => root.files = files.into_iter().map(ImageFile::into).collect(),
        }
        Self {
            container_id: container.container_id,
            root: Some(root).into(),
            oci_spec: container.oci_spec,
            share_pid_namespace: container.share_pid_namespace,
            target_container_id: container.target_container_id,
            ends_with_first_process: container.ends_with_first_process,
            mounts: container
                .mounts
                .into_iter()
                .map(wire::VolumeMount::from)
                .collect(),
            disks: container
                .disks
                .into_iter()
                .map(wire::ContainerDisk::from)
                .collect(),
            stdio: Some(container.stdio.into()).into(),
            ..Self::default()
        }
    }
}

impl From<ContainerDisk> for wire::ContainerDisk {
    fn from(disk: ContainerDisk) -> Self {
        Self {
            pci_address: disk.pci_address,
            path: disk.path,
            access: disk.access,
            mode: disk.mode,
            uid: disk.uid,
            gid: disk.gid,
            ..Self::default()
        }
    }
}

impl From<ImageFile> for wire::ImageFile {
    fn from(file: ImageFile) -> Self {
        Self {
            path: file.path.to_string_lossy().into_owned(),
            length_bytes: file.length_bytes,
            ..Self::default()
        }
    }
}

impl From<Stdio> for wire::Stdio {
    fn from(stdio: Stdio) -> Self {
        let (columns, rows) = stdio.terminal.unwrap_or_default();
        Self {
            stdin: stdio.stdin,
            terminal: stdio.terminal.is_some(),
            columns,
            rows,
            ..Self::default()
        }
    }
}

impl From<ProcessExec> for wire::ExecProcessRequest {
    fn from(exec: ProcessExec) -> Self {
        Self {
            container_id: exec.process.container_id,
            exec_id: exec.process.exec_id,
            oci_process: exec.oci_process,
            stdio: Some(exec.stdio.into()).into(),
            ..Self::default()
        }
    }
}
