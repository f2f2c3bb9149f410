//! How much a container may use. Main types: [`Limits`], its cgroup's; [`LimitsChange`], while it runs; [`Rlimit`], its processes'.

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

/// A change to the limits of a container that is there; what is `None` or not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitsChange {
    /// As in [`Limits`].
    pub memory_bytes: Option<NewLimit>,
    /// As in [`Limits`].
    pub memory_and_swap_bytes: Option<NewLimit>,
    /// As in [`Limits`].
    pub cpu_shares: Option<u64>,
    /// As in [`Limits`].
    pub cpu_quota_us: Option<NewLimit>,
    /// As in [`Limits`].
    pub cpu_period_us: Option<u64>,
    /// Each replaces the one of its size.
    pub huge_pages: Vec<HugePageLimit>,
    /// Each replaces the one of its file.
    pub unified: BTreeMap<String, String>,
}

/// What becomes of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewLimit {
    /// There is none any more.
    Lifted,
    /// This.
    At(u64),
}

impl NewLimit {
    /// As [`Limits`] says it.
    #[must_use]
    pub fn value(self) -> Option<u64> {
        match self {
            Self::Lifted => None,
            Self::At(value) => Some(value),
        }
    }
}

impl Limits {
    /// These limits after the change.
    #[must_use]
    pub fn changed(&self, change: &LimitsChange) -> Self {
        let mut new = self.clone();
        if let Some(memory) = change.memory_bytes {
            new.memory_bytes = memory.value();
            // cgroup v2 counts swap alone, so what is allowed of it stays when memory's limit changes.
            let both = self.memory_and_swap_bytes.zip(self.memory_bytes);
            let swap = both.map(|(both, memory)| both.saturating_sub(memory));
            let both = new.memory_bytes.zip(swap);
            new.memory_and_swap_bytes = both.map(|(memory, swap)| memory.saturating_add(swap));
        }
        if let Some(both) = change.memory_and_swap_bytes {
            new.memory_and_swap_bytes = both.value();
        }
        if let Some(quota) = change.cpu_quota_us {
            new.cpu_quota_us = quota.value();
        }
        new.cpu_shares = change.cpu_shares.or(self.cpu_shares);
        new.cpu_period_us = change.cpu_period_us.or(self.cpu_period_us);
        for limit in &change.huge_pages {
            let others = |old: &HugePageLimit| old.page_size != limit.page_size;
            new.huge_pages.retain(others);
            new.huge_pages.push(limit.clone());
        }
        new.unified.extend(change.unified.clone());
        new
    }
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

#[cfg(test)]
mod tests;
