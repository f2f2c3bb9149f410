//! What the limits of an OCI specification are in the files of cgroup version 2 (Documentation/admin-guide/cgroup-v2.rst).
//! Pure: [`writes`] decides, `Cgroup::limit` carries out. A limit that version 2 does not have is refused, never dropped.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxResources, LinuxThrottleDevice,
};
use thiserror::Error;

/// A limit that cannot be carried out by any guest of ours.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    #[error("{limit} does not exist in cgroup version 2; leave it out")]
    OnlyInVersionOne { limit: &'static str },
    #[error("{limit} can't be changed while the container runs")]
    Fixed { limit: String },
    #[error("{limit} can't be {value}: {rule}")]
    BadValue {
        limit: &'static str,
        value: String,
        rule: &'static str,
    },
}

/// One value for one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) file: String,
    pub(super) value: String,
    /// A missing file means that the limit holds anyway.
    pub(super) optional: bool,
}

impl Write {
    fn to(file: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            value: value.into(),
            optional: false,
        }
    }
}

/// All writes, in an order in which the kernel takes them.
pub(super) fn writes(resources: &LinuxResources) -> Result<Vec<Write>, PlanError> {
    let mut writes = Vec::new();
    if let Some(memory) = resources.memory() {
        writes_of_memory(memory, &mut writes)?;
    }
    if let Some(cpu) = resources.cpu() {
        writes_of_cpu(cpu, &mut writes)?;
    }
    if let Some(pids) = resources.pids() {
        writes.push(Write::to(
            "pids.max",
            number_or_max(Some(pids.limit()).filter(|n| *n > 0)),
        ));
    }
    if let Some(block_io) = resources.block_io() {
        writes_of_block_io(block_io, &mut writes)?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        writes_of_hugepages(limit, &mut writes)?;
    }
    for (device, rdma) in resources.rdma().iter().flatten() {
        let mut value = device.clone();
        if let Some(handles) = rdma.hca_handles() {
            value.push_str(&format!(" hca_handle={handles}"));
        }
        if let Some(objects) = rdma.hca_objects() {
            value.push_str(&format!(" hca_object={objects}"));
        }
        writes.push(Write::to("rdma.max", value));
    }
    if let Some(network) = resources.network() {
        let classes = network.class_id().is_some_and(|class| class != 0);
        let priorities = network
            .priorities()
            .as_ref()
            .is_some_and(|list| !list.is_empty());
        refuse("network.classID", classes)?;
        refuse("network.priorities", priorities)?;
    }
    // Last, so that they win over what was computed above: they are the kernel's own words.
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort();
    for (file, value) in unified {
        if file.contains('/') || !file.contains('.') || file.starts_with("cgroup.") {
            let rule = "a file of a controller, such as memory.high";
            return Err(PlanError::BadValue {
                limit: "unified",
                value: file.clone(),
                rule,
            });
        }
        writes.push(Write::to(file, value));
    }
    Ok(writes)
}

fn writes_of_memory(memory: &LinuxMemory, writes: &mut Vec<Write>) -> Result<(), PlanError> {
    refuse(
        "memory.kernel",
        memory.kernel().is_some_and(|limit| limit > 0),
    )?;
    refuse(
        "memory.kernelTCP",
        memory.kernel_tcp().is_some_and(|limit| limit > 0),
    )?;
    refuse("memory.swappiness", memory.swappiness().is_some())?;
    refuse(
        "memory.disableOOMKiller",
        memory.disable_oom_killer() == Some(true),
    )?;
    let limit = memory.limit().filter(|limit| *limit != 0);
    if let Some(limit) = limit {
        writes.push(Write::to(
            "memory.max",
            number_or_max(Some(limit).filter(|n| *n > 0)),
        ));
    }
    if let Some(swap) = memory.swap().filter(|swap| *swap != 0) {
        writes.push(Write {
            file: "memory.swap.max".into(),
            value: swap_alone(swap, limit)?,
            // A kernel without swap has no such file, and no swap to limit.
            optional: true,
        });
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        let low = number_or_max(Some(reservation).filter(|n| *n > 0));
        writes.push(Write::to("memory.low", low));
    }
    Ok(())
}

/// The specification counts memory and swap together (as version 1 did), version 2 swap alone.
fn swap_alone(swap: i64, limit: Option<i64>) -> Result<String, PlanError> {
    if swap < 0 {
        return Ok("max".into());
    }
    match limit.filter(|limit| *limit > 0) {
        Some(limit) if swap >= limit => Ok((swap - limit).to_string()),
        _ => Err(PlanError::BadValue {
            limit: "memory.swap",
            value: swap.to_string(),
            rule: "it counts memory and swap together and needs a memory limit that is not larger",
        }),
    }
}

fn writes_of_cpu(cpu: &LinuxCpu, writes: &mut Vec<Write>) -> Result<(), PlanError> {
    refuse(
        "cpu.realtimeRuntime",
        cpu.realtime_runtime().is_some_and(|runtime| runtime != 0),
    )?;
    refuse(
        "cpu.realtimePeriod",
        cpu.realtime_period().is_some_and(|period| period != 0),
    )?;
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        writes.push(Write::to(
            "cpu.weight",
            weight_of_shares(shares).to_string(),
        ));
    }
    let quota = cpu.quota().filter(|quota| *quota > 0);
    match (cpu.quota(), cpu.period().filter(|period| *period != 0)) {
        (None, None) => {}
        (_, Some(period)) => {
            writes.push(Write::to(
                "cpu.max",
                format!("{} {period}", number_or_max(quota)),
            ));
        }
        (Some(_), None) => writes.push(Write::to("cpu.max", number_or_max(quota))),
    }
    if let Some(burst) = cpu.burst() {
        writes.push(Write::to("cpu.max.burst", burst.to_string()));
    }
    if let Some(idle) = cpu.idle() {
        writes.push(Write::to("cpu.idle", idle.to_string()));
    }
    for (file, list) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            writes.push(Write::to(file, list));
        }
    }
    Ok(())
}

/// Shares (2..=262144, 1024 in the middle) to weights (1..=10000, 100 in the middle), by the curve that the OCI runtimes agreed
/// on in 2025: the straight line before it gave 1024 shares a weight of 39.
fn weight_of_shares(shares: u64) -> u64 {
    const LEAST: u32 = 2;
    const MOST: u32 = 262_144;
    let shares = u32::try_from(shares).unwrap_or(MOST).clamp(LEAST, MOST);
    if shares == LEAST {
        return 1;
    }
    let log = f64::from(shares).log2();
    let weight = 10f64
        .powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0)
        .ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1..=10000 and whole"
    )]
    let weight = weight.clamp(1.0, 10_000.0) as u64;
    weight
}

fn writes_of_block_io(io: &LinuxBlockIo, writes: &mut Vec<Write>) -> Result<(), PlanError> {
    refuse(
        "blockIO.leafWeight",
        io.leaf_weight().is_some_and(|weight| weight != 0),
    )?;
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        writes.push(io_weight("", weight)?);
    }
    for device in io.weight_device().iter().flatten() {
        refuse(
            "blockIO.weightDevice.leafWeight",
            device.leaf_weight().is_some(),
        )?;
        if let Some(weight) = device.weight() {
            writes.push(io_weight(
                &format!("{}:{} ", device.major(), device.minor()),
                weight,
            )?);
        }
    }
    let mut throttle = |name: &str, devices: &Option<Vec<LinuxThrottleDevice>>| {
        for device in devices.iter().flatten() {
            // 0 lifts the limit in version 1; the kernel refuses it in version 2.
            let rate = number_or_max(Some(device.rate()).filter(|rate| *rate != 0));
            let value = format!("{}:{} {name}={rate}", device.major(), device.minor());
            writes.push(Write::to("io.max", value));
        }
    };
    throttle("rbps", io.throttle_read_bps_device());
    throttle("wbps", io.throttle_write_bps_device());
    throttle("riops", io.throttle_read_iops_device());
    throttle("wiops", io.throttle_write_iops_device());
    Ok(())
}

/// 10..=1000 of version 1 on the line 1..=10000 of version 2.
fn io_weight(device: &str, weight: u16) -> Result<Write, PlanError> {
    if !(10..=1000).contains(&weight) {
        let value = weight.to_string();
        return Err(PlanError::BadValue {
            limit: "blockIO.weight",
            value,
            rule: "10 to 1000",
        });
    }
    let weight = 1 + (u32::from(weight) - 10) * 9999 / 990;
    Ok(Write::to("io.weight", format!("{device}{weight}")))
}

fn writes_of_hugepages(
    limit: &LinuxHugepageLimit,
    writes: &mut Vec<Write>,
) -> Result<(), PlanError> {
    let size = limit.page_size();
    if size.is_empty() || !size.chars().all(|c| c.is_ascii_alphanumeric()) {
        let rule = "a size such as 2MB or 1GB";
        return Err(PlanError::BadValue {
            limit: "hugepageLimits",
            value: size.clone(),
            rule,
        });
    }
    let value = number_or_max(Some(limit.limit()).filter(|limit| *limit >= 0));
    writes.push(Write {
        file: format!("hugetlb.{size}.max"),
        value: value.clone(),
        // Of a size that there is not, nobody has any.
        optional: limit.limit() == 0,
    });
    // Without it a reservation could take what the first limit forbids to use. Older kernels lack the file.
    let file = format!("hugetlb.{size}.rsvd.max");
    writes.push(Write {
        file,
        value,
        optional: true,
    });
    Ok(())
}

fn number_or_max<Number: ToString>(number: Option<Number>) -> String {
    number.map_or_else(|| "max".to_owned(), |number| number.to_string())
}

fn refuse(limit: &'static str, set: bool) -> Result<(), PlanError> {
    if set {
        Err(PlanError::OnlyInVersionOne { limit })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
