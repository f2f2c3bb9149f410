//! The nouns of the runtime: what a pod and a container are made of, how they end, and what can go wrong. Values only: nothing
//! here does I/O. Main types: [`PodId`], [`ContainerSpec`], [`ExitStatus`], [`Fault`]. Everything above uses it.

mod container;
mod exit;
mod fault;
mod id;
mod limits;
mod mount;
mod network;
mod security;
mod size;
mod stages;
mod user;

pub use container::{
    ContainerSpec, IdRange, Identity, NamespaceOf, Namespaces, Terminal, UserNamespace, WindowSize,
};
pub use exit::ExitStatus;
pub use fault::{Fault, chain};
pub use id::{BadId, ContainerId, PodId, VolumeId};
pub use limits::{HugePageLimit, Limits, LimitsChange, NewLimit, Rlimit};
pub use mount::{HostVolume, Mount};
pub use network::{
    Address, BadMac, Interface, Mac, Neighbour, PodNetwork, Prefix, Route, RouteKind, Rule,
};
pub use security::{BlockDevice, CapabilityChanges, Device, Seccomp, Security};
pub use size::{HugePages, VmSize};
pub use stages::{Stage, Stages};
pub use user::{GroupsOfImage, User};
