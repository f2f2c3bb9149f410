//! How much a container may use. Main types: [`Limits`], its cgroup's; [`Rlimit`], its processes'.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a container may use, in the guest; `None` is no limit of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// cgroup v2 `memory.max`, in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory and swap together, in bytes, as CRI and version 1 count it; never less than `memory_bytes`, which it needs.
    pub memory_and_swap_bytes: Option<u64>,
    /// cgroup v2 `pids.max`.
    pub pids: Option<u32>,
    /// Relative weight, 2 to 262144, 1024 in the middle (cgroup v1 `cpu.shares`, which CRI speaks).
    pub cpu_shares: Option<u64>,
    /// Processor time in each period, in microseconds.
    pub cpu_quota_us: Option<u64>,
    /// The period of the quota, in microseconds; `None` is the kernel's 100000.
    pub cpu_period_us: Option<u64>,
    /// Processors of the guest, as a list ("0-2,5"); empty is all. A number of the host's means nothing here.
    pub cpuset_cpus: String,
    /// Memory nodes of the guest, as a list; empty is all.
    pub cpuset_mems: String,
    /// By the size of a page.
    pub huge_pages: Vec<HugePageLimit>,
    /// Files of cgroup v2 and what to write into them, after all of the above.
    pub unified: BTreeMap<String, String>,
}

/// A limit on huge pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePageLimit {
    /// As in the name of the cgroup's file: "2MB", "1GB".
    pub page_size: String,
    /// In bytes.
    pub bytes: u64,
}

/// One limit of a process (setrlimit(2)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// "RLIMIT_NOFILE" and the like.
    pub kind: String,
    /// What it has.
    pub soft: u64,
    /// What it may raise it to; never less than `soft`.
    pub hard: u64,
}
