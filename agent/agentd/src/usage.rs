//! What the pod uses: each container by its cgroup and its writable layer, the guest by /proc. Main functions: [`container()`], [`pod()`].
//! Block.

use std::fs;

use agent::agent as wire;
use container::cgroup::{Pressure, PressureShare};
use rustix::{
    fs::statvfs,
    param::clock_ticks_per_second,
    time::{ClockId, clock_gettime},
};

use crate::{holdings::Holdings, ids::ContainerId};

/// One container. None when it has gone meanwhile.
pub(crate) fn container(
    id: &ContainerId,
    holdings: &Holdings,
) -> Option<wire::ContainerUsageResponse> {
    let usage = holdings.cgroup.usage();
    let (writable_bytes, writable_inodes) = writable(holdings);
    let answer = wire::ContainerUsageResponse {
        container_id: id.to_string(),
        time_ns: now_ns(),
        memory_bytes: usage.memory_bytes,
        memory_peak_bytes: usage.memory_peak_bytes,
        memory_limit_bytes: usage.memory_limit_bytes,
        working_set_bytes: usage.working_set_bytes,
        rss_bytes: usage.rss_bytes,
        swap_bytes: usage.swap_bytes,
        page_faults: usage.page_faults,
        major_page_faults: usage.major_page_faults,
        cpu_us: usage.cpu_us,
        cpu_ns: usage.cpu_us.saturating_mul(1000),
        pids: usage.pids,
        oom_kills: usage.oom_kills,
        writable_bytes,
        writable_inodes,
        cpu_pressure: usage.cpu_pressure.map(pressure).into(),
        memory_pressure: usage.memory_pressure.map(pressure).into(),
        io_pressure: usage.io_pressure.map(pressure).into(),
        ..Default::default()
    };
    // Asked last: a removal that came in between made numbers of nothing.
    holdings.cgroup.exists().then_some(answer)
}

/// The guest and its containers, in the order of their ids.
pub(crate) fn pod(mut containers: Vec<(ContainerId, Holdings)>) -> wire::PodUsageResponse {
    containers.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let statistics = fs::read_to_string("/proc/stat").unwrap_or_default();
    let interfaces = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let counts = containers
        .iter()
        .map(|(_, holdings)| holdings.cgroup.process_count());
    wire::PodUsageResponse {
        time_ns: now_ns(),
        memory_total_bytes: memory_bytes(&memory, "MemTotal"),
        memory_available_bytes: memory_bytes(&memory, "MemAvailable"),
        memory_free_bytes: memory_bytes(&memory, "MemFree"),
        cpu_ns: busy_ns(&statistics, clock_ticks_per_second()),
        processes: counts.sum(),
        interfaces: interfaces.lines().filter_map(interface).collect(),
        containers: containers
            .iter()
            .filter_map(|(id, holdings)| container(id, holdings))
            .collect(),
        ..Default::default()
    }
}

/// Bytes and inodes. It has a quota on the scratch disk, or is a file system of its own.
fn writable(holdings: &Holdings) -> (u64, u64) {
    if let Some(layer) = &holdings.layer {
        return layer.usage().unwrap_or_default();
    }
    let Ok(used) = statvfs(holdings.folder.writable()) else {
        return (0, 0);
    };
    let blocks = used.f_blocks.saturating_sub(used.f_bfree);
    let bytes = blocks.saturating_mul(used.f_frsize);
    (bytes, used.f_files.saturating_sub(used.f_ffree))
}

fn pressure(pressure: Pressure) -> wire::Pressure {
    wire::Pressure {
        some: Some(share(pressure.some)).into(),
        full: Some(share(pressure.full)).into(),
        ..Default::default()
    }
}

fn share(share: PressureShare) -> wire::PressureShare {
    let [average_10s, average_60s, average_300s] = share.averages;
    wire::PressureShare {
        average_10s,
        average_60s,
        average_300s,
        total_us: share.total_us,
        ..Default::default()
    }
}

/// "MemTotal:       16384 kB" (proc_meminfo(5)).
fn memory_bytes(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0).saturating_mul(1024)
}

/// "cpu  user nice system idle iowait irq softirq steal guest guest_nice" in ticks (proc_stat(5)). User holds guest already.
fn busy_ns(text: &str, ticks_per_second: u64) -> u64 {
    const BUSY: [usize; 5] = [0, 1, 2, 5, 6];
    const NS: u64 = 1_000_000_000;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "));
    let fields: Vec<u64> = line
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let ticks: u64 = BUSY.iter().filter_map(|index| fields.get(*index)).sum();
    ticks.saturating_mul(NS / ticks_per_second.clamp(1, NS))
}

/// "eth0: bytes packets errs drop fifo frame compressed multicast", and then the same for what was sent (proc_pid_net(5)).
fn interface(line: &str) -> Option<wire::InterfaceUsage> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let number = |index: usize| numbers.get(index).copied().unwrap_or(0);
    Some(wire::InterfaceUsage {
        name: name.trim().to_owned(),
        received_bytes: number(0),
        received_packets: number(1),
        received_errors: number(2),
        received_dropped: number(3),
        sent_bytes: number(8),
        sent_packets: number(9),
        sent_errors: number(10),
        sent_dropped: number(11),
        ..Default::default()
    })
}

fn now_ns() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec)
}

#[cfg(test)]
mod tests;
