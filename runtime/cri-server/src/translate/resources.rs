//! What CRI says of a container's resources, and what is shown of them. Main functions: [`limits_change`], [`shown`].
//!
//! Left out, because they name what a guest does not have, and because the limit holds without them:
//! - `cpuset_cpus` and `cpuset_mems`: numbers of the host's processors and memory nodes. The guest's are others; its processors are as
//!   many as its containers may use.
//! - files `memory.swap.*` of `unified`, which kubelet sends to every container where the host can swap: guests have no swap.

use cri::v1::{ContainerResources, HugepageLimit, LinuxContainerResources};
use model::{HugePageLimit, Limits, LimitsChange, NewLimit};

use super::refusal::Refusal;

const SWAP_FILES: &str = "memory.swap.";

/// The limits that are said; 0 says nothing, -1 lifts one.
pub(crate) fn limits_change(resources: &LinuxContainerResources) -> Result<LimitsChange, Refusal> {
    // kubelet sends 0 for each size that the host has. What a guest does not have has no file, and needs none.
    let huge_pages = resources.hugepage_limits.iter();
    let unified = resources.unified.iter();
    let unified = unified.filter(|(file, _)| !file.starts_with(SWAP_FILES));
    Ok(LimitsChange {
        memory_bytes: limit("memory_limit_in_bytes", resources.memory_limit_in_bytes)?,
        memory_and_swap_bytes: limit(
            "memory_swap_limit_in_bytes",
            resources.memory_swap_limit_in_bytes,
        )?,
        cpu_shares: amount("cpu_shares", resources.cpu_shares)?,
        cpu_quota_us: limit("cpu_quota", resources.cpu_quota)?,
        cpu_period_us: amount("cpu_period", resources.cpu_period)?,
        huge_pages: huge_pages
            .map(|limit| HugePageLimit {
                page_size: limit.page_size.clone(),
                bytes: limit.limit,
            })
            .collect(),
        unified: unified
            .map(|(file, value)| (file.clone(), value.clone()))
            .collect(),
    })
}

/// 0 is not said either, which is what the agent does then.
pub(crate) fn oom_score_adj(resources: &LinuxContainerResources) -> Result<Option<i32>, Refusal> {
    let value = resources.oom_score_adj;
    let small = i32::try_from(value);
    let small = small.map_err(|_large| {
        Refusal::invalid(format!("oom_score_adj can't be {value}: -1000 to 1000"))
    })?;
    Ok(Some(small).filter(|value| *value != 0))
}

fn limit(field: &str, value: i64) -> Result<Option<NewLimit>, Refusal> {
    match value {
        -1 => Ok(Some(NewLimit::Lifted)),
        _ => Ok(amount(field, value)?.map(NewLimit::At)),
    }
}

fn amount(field: &str, value: i64) -> Result<Option<u64>, Refusal> {
    let amount = u64::try_from(value).map_err(|_below| {
        Refusal::invalid(format!("{field} can't be {value}: it is below zero"))
    })?;
    Ok(Some(amount).filter(|amount| *amount > 0))
}

/// What was asked for, with the limits that hold now.
pub(crate) fn shown(
    asked: Option<&LinuxContainerResources>,
    limits: &Limits,
) -> Option<ContainerResources> {
    let never_said = Limits {
        pids: limits.pids,
        ..Limits::default()
    };
    if asked.is_none() && *limits == never_said {
        return None;
    }
    let asked = asked.cloned().unwrap_or_default();
    let mut hugepage_limits = asked.hugepage_limits;
    for limit in &limits.huge_pages {
        hugepage_limits.retain(|old| old.page_size != limit.page_size);
        hugepage_limits.push(HugepageLimit {
            page_size: limit.page_size.clone(),
            limit: limit.bytes,
        });
    }
    let mut unified = asked.unified;
    unified.extend(limits.unified.clone());
    let linux = LinuxContainerResources {
        cpu_period: now(asked.cpu_period, limits.cpu_period_us),
        cpu_quota: now(asked.cpu_quota, limits.cpu_quota_us),
        cpu_shares: now(asked.cpu_shares, limits.cpu_shares),
        memory_limit_in_bytes: now(asked.memory_limit_in_bytes, limits.memory_bytes),
        memory_swap_limit_in_bytes: now(
            asked.memory_swap_limit_in_bytes,
            limits.memory_and_swap_bytes,
        ),
        hugepage_limits,
        unified,
        ..asked
    };
    Some(ContainerResources {
        linux: Some(linux),
        windows: None,
    })
}

/// A limit that was asked for and does not hold has been lifted.
fn now(asked: i64, limit: Option<u64>) -> i64 {
    match limit {
        Some(limit) => i64::try_from(limit).unwrap_or(i64::MAX),
        None => asked.min(0),
    }
}

#[cfg(test)]
mod tests;
