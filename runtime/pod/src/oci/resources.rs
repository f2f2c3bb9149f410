//! What a container's cgroup and processes may use. Main functions: [`resources`], [`rlimits`]; [`change`], while it runs.

use model::{Limits, LimitsChange, NewLimit, Rlimit};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxCpu, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxHugepageLimitBuilder, LinuxMemoryBuilder,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType,
};

use super::error::SpecificationError;

/// RLIMIT_NOFILE of a container, soft and hard: what containerd under systemd gives.
const OPEN_FILES: u64 = 1_048_576;

/// Of the cgroup.
pub(super) fn resources(
    limits: &Limits,
    devices: Vec<LinuxDeviceCgroup>,
) -> Result<LinuxResources, SpecificationError> {
    let mut resources = LinuxResourcesBuilder::default();
    if let Some(bytes) = limits.memory_bytes {
        let mut memory = LinuxMemoryBuilder::default().limit(signed(bytes));
        if let Some(both) = limits.memory_and_swap_bytes {
            if both < bytes {
                return Err(swap(both, "it counts memory too, whose limit is larger"));
            }
            memory = memory.swap(signed(both));
        }
        resources = resources.memory(memory.build()?);
    } else if let Some(both) = limits.memory_and_swap_bytes {
        return Err(swap(both, "it needs a limit of memory"));
    }
    if let Some(pids) = limits.pids {
        resources = resources.pids(LinuxPidsBuilder::default().limit(i64::from(pids)).build()?);
    }
    if let Some(cpu) = cpu(limits)? {
        resources = resources.cpu(cpu);
    }
    if !limits.huge_pages.is_empty() {
        let limits = limits.huge_pages.iter().map(|limit| {
            LinuxHugepageLimitBuilder::default()
                .page_size(limit.page_size.clone())
                .limit(signed(limit.bytes))
                .build()
        });
        resources = resources.hugepage_limits(limits.collect::<Result<Vec<_>, OciSpecError>>()?);
    }
    if !limits.unified.is_empty() {
        resources = resources.unified(
            limits
                .unified
                .clone()
                .into_iter()
                .collect::<std::collections::HashMap<_, _>>(),
        );
    }
    if !devices.is_empty() {
        resources = resources.devices(devices);
    }
    Ok(resources.build()?)
}

fn cpu(limits: &Limits) -> Result<Option<LinuxCpu>, SpecificationError> {
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(shares) = limits.cpu_shares {
        cpu = cpu.shares(shares);
    }
    if let Some(quota) = limits.cpu_quota_us {
        cpu = cpu.quota(signed(quota));
    }
    if let Some(period) = limits.cpu_period_us {
        cpu = cpu.period(period);
    }
    if !limits.cpuset_cpus.is_empty() {
        cpu = cpu.cpus(limits.cpuset_cpus.clone());
    }
    if !limits.cpuset_mems.is_empty() {
        cpu = cpu.mems(limits.cpuset_mems.clone());
    }
    let cpu = cpu.build()?;
    Ok((cpu != LinuxCpu::default()).then_some(cpu))
}

/// What the cgroup of a container with limits `old` is told; `None` where the change says nothing.
pub(in crate::oci) fn change(
    old: &Limits,
    change: &LimitsChange,
) -> Result<Option<LinuxResources>, SpecificationError> {
    /// How the specification lifts a limit.
    const NONE: i64 = -1;
    if *change == LimitsChange::default() {
        return Ok(None);
    }
    let new = old.changed(change);
    let lifted = |limit: Option<NewLimit>| limit == Some(NewLimit::Lifted);
    let touches_swap = change.memory_and_swap_bytes.is_some();
    // Swap is said together with memory, so memory's limit is said again where only that of swap changes.
    let memory = change.memory_bytes.is_some() || touches_swap;
    let part = Limits {
        memory_bytes: new.memory_bytes.filter(|_bytes| memory),
        memory_and_swap_bytes: new.memory_and_swap_bytes.filter(|_bytes| touches_swap),
        cpu_shares: change.cpu_shares,
        cpu_quota_us: change.cpu_quota_us.and_then(NewLimit::value),
        cpu_period_us: change.cpu_period_us,
        huge_pages: change.huge_pages.clone(),
        unified: change.unified.clone(),
        ..Limits::default()
    };
    let mut told = resources(&part, Vec::new())?;
    // Swap without a limit of memory can't be counted together with it.
    if lifted(change.memory_and_swap_bytes) || lifted(change.memory_bytes) {
        let mut memory = told.memory().unwrap_or_default();
        memory.set_swap(Some(NONE));
        if lifted(change.memory_bytes) {
            memory.set_limit(Some(NONE));
        }
        told.set_memory(Some(memory));
    }
    if lifted(change.cpu_quota_us) {
        let mut cpu = told.cpu().clone().unwrap_or_default();
        cpu.set_quota(Some(NONE));
        told.set_cpu(Some(cpu));
    }
    Ok(Some(told))
}

/// Of a process; the one of open files is always there.
pub(super) fn rlimits(given: &[Rlimit]) -> Result<Vec<PosixRlimit>, SpecificationError> {
    let bad = |rlimit: &Rlimit, rule| SpecificationError::Rlimit {
        kind: rlimit.kind.clone(),
        rule,
    };
    let mut all: Vec<PosixRlimit> = Vec::with_capacity(given.len() + 1);
    for rlimit in given {
        let kind: PosixRlimitType = rlimit
            .kind
            .parse()
            .map_err(|_unknown| bad(rlimit, "is not one of Linux; RLIMIT_NOFILE is one"))?;
        if all.iter().any(|earlier| earlier.typ() == kind) {
            return Err(bad(rlimit, "is there twice"));
        }
        if rlimit.soft > rlimit.hard {
            return Err(bad(rlimit, "has a soft value above its hard one"));
        }
        all.push(posix(kind, rlimit.soft, rlimit.hard)?);
    }
    let open_files = PosixRlimitType::RlimitNofile;
    if all.iter().all(|rlimit| rlimit.typ() != open_files) {
        all.push(posix(open_files, OPEN_FILES, OPEN_FILES)?);
    }
    Ok(all)
}

/// As the specification wants it: -1000 to 1000 (proc_pid_oom_score_adj(5)).
pub(super) fn oom_score_adj(value: i32) -> Result<i32, SpecificationError> {
    if (-1000..=1000).contains(&value) {
        return Ok(value);
    }
    Err(SpecificationError::Limit {
        field: "oom_score_adj",
        value: value.to_string(),
        rule: "-1000 to 1000",
    })
}

fn posix(typ: PosixRlimitType, soft: u64, hard: u64) -> Result<PosixRlimit, OciSpecError> {
    PosixRlimitBuilder::default()
        .typ(typ)
        .soft(soft)
        .hard(hard)
        .build()
}

fn swap(value: u64, rule: &'static str) -> SpecificationError {
    SpecificationError::Limit {
        field: "memory_swap_limit_in_bytes",
        value: value.to_string(),
        rule,
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
