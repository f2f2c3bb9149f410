//! Why a container's values make no specification. Main type: [`SpecificationError`].

use oci_spec::OciSpecError;
use thiserror::Error;

use super::seccomp::ProfileError;

/// A value of a container that no guest can carry out, named as Kubernetes names it.
#[derive(Debug, Error)]
pub enum SpecificationError {
    /// A field that the specification demands is missing; never in practice.
    #[error("put the OCI specification together")]
    Assemble(#[from] OciSpecError),
    /// CRI has it so: a group alone would be that of whatever user the image has.
    #[error("run_as_group {gid} needs run_as_user or run_as_username beside it")]
    GroupWithoutUser {
        /// The group.
        gid: u32,
    },
    /// A name with a group in it, or a NUL.
    #[error(
        "run_as_username {name:?} must be a name or a number; the group belongs into run_as_group"
    )]
    UserName {
        /// The name.
        name: String,
    },
    /// Not one of the kernel's.
    #[error("there is no capability {name:?}; one is called NET_ADMIN, for example")]
    Capability {
        /// The name.
        name: String,
    },
    /// Not a path from the root.
    #[error("{field} has {path:?}, which is not absolute")]
    RelativePath {
        /// The field of the container.
        field: &'static str,
        /// The path.
        path: String,
    },
    /// The guest has no such device.
    #[error(
        "the device {host_path:?} of the host is not in the guest; a container in a VM can be given {served}"
    )]
    Device {
        /// Its path.
        host_path: String,
        /// Those that can be had.
        served: String,
    },
    /// How a device is asked for.
    #[error("the device {host_path:?} can't be had {rule}")]
    DeviceRule {
        /// Its path.
        host_path: String,
        /// What is wrong.
        rule: String,
    },
    /// The seccomp profile.
    #[error("read the seccomp profile")]
    Seccomp(#[from] ProfileError),
    /// A limit of a process.
    #[error("the limit {kind:?} {rule}")]
    Rlimit {
        /// As it was named.
        kind: String,
        /// What is wrong.
        rule: &'static str,
    },
    /// A limit of the cgroup.
    #[error("{field} can't be {value}: {rule}")]
    Limit {
        /// The field of the container.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        rule: &'static str,
    },
    /// A range of a user namespace.
    #[error("the user namespace's {which} {first}+{length} can't be mapped: {rule}")]
    IdRange {
        /// uids or gids.
        which: &'static str,
        /// First id in the container.
        first: u32,
        /// How many.
        length: u32,
        /// What is wrong.
        rule: &'static str,
    },
}
