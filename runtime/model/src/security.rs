//! What a container may do beyond what its user may. Main type: [`Security`]. Its neighbour above is `container`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a container may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Everything that root may in the guest: all capabilities, all its devices, /sys and its cgroup writable, no path masked or
    /// read-only, no seccomp filter. The wall around it is the VM's; on the node there is none.
    pub privileged: bool,
    /// Changes to the default capabilities.
    pub capabilities: CapabilityChanges,
    /// Which system calls it may make.
    pub seccomp: Seccomp,
    /// Paths that show nothing; `None` is the OCI runtimes' list, an empty one is none.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that can't be written to, with all that is mounted below; `None` is the OCI runtimes' list, an empty one is none.
    pub read_only_paths: Option<Vec<String>>,
    /// Devices that it may use beside null, zero, full, random, urandom and tty, which every container has.
    pub devices: Vec<Device>,
    /// Block devices of the host that it works on itself. Only of a pod in a VM.
    pub block_devices: Vec<BlockDevice>,
    /// It can't use others, also where it may not make nodes of them: it may mount some. A privileged one can.
    pub filters_devices: bool,
    /// The AppArmor profile that its processes run under, which the kernel has.
    pub apparmor_profile: Option<String>,
}

/// Changes to the default capabilities, by name in any case, with or without `CAP_`. `ALL` in `add` or `drop` comes first, then each of
/// `add`, then each of `drop`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CapabilityChanges {
    /// Given, where the user is root.
    pub add: Vec<String>,
    /// Taken.
    pub drop: Vec<String>,
    /// Given to any user, and kept over execve (capabilities(7), ambient).
    pub add_ambient: Vec<String>,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// Cofferdam's own allow-list.
    #[default]
    RuntimeDefault,
    /// All.
    Unconfined,
    /// As a profile says: the JSON text of an OCI `LinuxSeccomp`, or of docker's form with `archMap`, `includes` and `excludes`.
    Localhost(String),
}

/// A device of the guest. A node of the host means nothing there, so only devices that every guest has can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its path outside, which says which device it is: `/dev/fuse`.
    pub host_path: String,
    /// Its path in the container, below /dev.
    pub container_path: String,
    /// Some of `r`, `w` and `m` (mknod).
    pub permissions: String,
}

/// A block device of the host that a container in a VM has as one of its own: Kubernetes' `volumeDevices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Where the host has it, without links.
    pub host_path: PathBuf,
    /// Where the container has it; absolute.
    pub container_path: String,
    /// Some of `r`, `w` and `m` (mknod). Without `w` it can't be written to, whoever tries.
    pub permissions: String,
    /// Permission bits of the container's node, and its owner. In a user namespace it belongs to the namespace's root.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The disk of a function that the VM is given: where that is on the host. None is a block device of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// That function's IOMMU group, by which a VM may be given it that has not had it since its start, or why none may. It is for the moment in
    /// which a container is made, and not kept.
    #[serde(skip)]
    pub hot_plug: Option<Result<u32, String>>,
}

impl BlockDevice {
    /// Whether it can't be written to.
    #[must_use]
    pub fn read_only(&self) -> bool {
        !self.permissions.contains('w')
    }
}
