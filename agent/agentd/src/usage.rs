//! What the pod uses: each container by its cgroup and its writable layer, the guest by /proc; on a host the pod is its containers together. Main functions:
//! [`container()`], [`pod()`]. Block.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use agent::agent as wire;
use container::cgroup::{Pressure, PressureShare};
use rustix::{
    fs::statvfs,
    param::clock_ticks_per_second,
    time::{ClockId, clock_gettime},
};

use crate::{arguments::Setting, holdings::Holdings, ids::ContainerId, layer::Place};

/// Most files of a writable layer on a disk that are counted: kubelet asks often, and a container decides how many there are.
const MOST_FILES: u64 = 100_000;

/// What st_blocks counts in (inode(7)).
const BLOCK_BYTES: u64 = 512;

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

/// The pod and its containers, in the order of their ids.
pub(crate) fn pod(
    containers: Vec<(ContainerId, Holdings)>,
    setting: &Setting,
) -> wire::PodUsageResponse {
    let mut answer = guest(containers);
    if !setting.guest {
        of_containers(&mut answer);
        if setting.own.network.is_none() {
            answer.interfaces.clear();
        }
    }
    answer
}

/// What the host does beside the pod is not the pod's.
fn of_containers(answer: &mut wire::PodUsageResponse) {
    let sum = |number: fn(&wire::ContainerUsageResponse) -> u64| {
        answer.containers.iter().map(number).sum::<u64>()
    };
    let used = sum(|container| container.working_set_bytes);
    let all = sum(|container| container.memory_bytes);
    answer.cpu_ns = sum(|container| container.cpu_ns);
    answer.memory_available_bytes = answer.memory_total_bytes.saturating_sub(used);
    answer.memory_free_bytes = answer.memory_total_bytes.saturating_sub(all);
}

fn guest(mut containers: Vec<(ContainerId, Holdings)>) -> wire::PodUsageResponse {
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

/// Bytes and inodes. It has a quota on the scratch disk; in memory it is a file system of its own.
fn writable(holdings: &Holdings) -> (u64, u64) {
    match holdings.layer.place() {
        Place::Scratch(layer) => return layer.usage().unwrap_or_default(),
        Place::Folder(path) => return of_tree(path.join("upper")),
        Place::Memory => {}
    }
    let Ok(used) = statvfs(holdings.folder.writable()) else {
        return (0, 0);
    };
    let blocks = used.f_blocks.saturating_sub(used.f_bfree);
    let bytes = blocks.saturating_mul(used.f_frsize);
    (bytes, used.f_files.saturating_sub(used.f_ffree))
}

/// Of what is there now: a container may change it meanwhile.
fn of_tree(top: PathBuf) -> (u64, u64) {
    let (mut bytes, mut inodes) = (0_u64, 0_u64);
    let mut folders = vec![top];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else {
                continue;
            };
            inodes += 1;
            bytes = bytes.saturating_add(about.blocks().saturating_mul(BLOCK_BYTES));
            if about.is_dir() {
                folders.push(entry.path());
            }
            if inodes >= MOST_FILES {
                return (bytes, inodes);
            }
        }
    }
    (bytes, inodes)
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
