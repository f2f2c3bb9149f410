//! Between CRI's messages and the values below: pure functions, tested with values. Used by `rpc` and `events`.

mod cgroup;
mod container_plan;
mod container_status;
mod devices;
mod filter;
mod huge_pages;
mod image;
mod metrics;
mod pod_kind;
mod refusal;
mod resources;
mod sandbox_check;
mod sandbox_status;
mod selinux;
mod signal;
mod stats;
mod storage;
mod streams;
mod user_namespace;
mod vm_size;
mod volumes;

pub(crate) use cgroup::cgroup;
pub(crate) use container_plan::{Planned, apparmor_profile, container_plan, seccomp_file};
pub(crate) use container_status::{container, container_status};
pub(crate) use devices::{Devices, devices};
pub(crate) use filter::{
    container_matches, container_stats_match, image_matches, sandbox_matches, sandbox_stats_match,
};
pub(crate) use huge_pages::{check_container as check_huge_pages, huge_pages};
pub(crate) use image::{image, image_names};
pub(crate) use metrics::{container_metrics, descriptors, guest_metrics};
pub(crate) use pod_kind::{OwnNamespaces, PodKind, pod_kind};
pub(crate) use refusal::Refusal;
pub(crate) use resources::limits_change;
pub(crate) use sandbox_check::{check_sandbox, shares_pid_namespace};
pub(crate) use sandbox_status::{sandbox, sandbox_status};
pub(crate) use selinux::selinux_label;
pub(crate) use stats::{Taken, container_stats, sandbox_stats, stats_of_containers};
pub(crate) use streams::{asked, ports};
pub(crate) use user_namespace::{check_users_of, user_namespace};
pub(crate) use vm_size::vm_size;
pub(crate) use volumes::{PlannedMount, PlannedSource, Pod as MountingPod, mounts};
