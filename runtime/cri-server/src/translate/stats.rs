//! What a guest says that its containers use, as CRI says it. Main functions: [`container_stats`], [`sandbox_stats`].
//!
//! - The rate of processor time (`usage_nano_cores`) is left out: kubelet makes it of two of its own readings.
//! - A pod's figures are its whole guest's: the containers', and what the guest's kernel and the agent take.
//! - The writable layer is on the pod's scratch disk or in the guest's memory. CRI wants a file system of the host, so it is said to be
//!   where the images are: scratch disks are on the same.

use std::path::Path;

use cri::v1::{
    ContainerAttributes, ContainerStats, CpuUsage, FilesystemIdentifier, FilesystemUsage, IoUsage,
    LinuxPodSandboxStats, MemoryUsage, NetworkInterfaceUsage, NetworkUsage, PodSandboxAttributes,
    PodSandboxConfig, PodSandboxStats, ProcessUsage, PsiData, PsiStats, SwapUsage, UInt64Value,
};
use model::{ContainerId, PodId};
use pod::{InterfaceUsage, PodUsage, Pressure, PressureShare, Usage};

use crate::{note::Created, pods::Found};

/// The interface of the pod's first network, as CNI names it for kubelet.
const DEFAULT_INTERFACE: &str = "eth0";
const LOOPBACK: &str = "lo";
const NS_PER_US: u64 = 1000;

/// When figures were taken, and where files are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken<'a> {
    /// In nanoseconds since 1970, by the host's clock.
    pub(crate) at_ns: i64,
    /// A folder of the host.
    pub(crate) disk: &'a Path,
}

/// Those of these containers, all of one pod, of which the guest has figures.
pub(crate) fn stats_of_containers(
    containers: &[&Found],
    usage: &PodUsage,
    taken: Taken<'_>,
) -> Vec<ContainerStats> {
    let stats = containers.iter().filter_map(|found| {
        let mut all = usage.containers.iter();
        let own = all.find(|usage| usage.container_id == found.id.as_str())?;
        Some(container_stats(&found.id, &found.created, own, taken))
    });
    stats.collect()
}

/// Of one container.
pub(crate) fn container_stats(
    id: &ContainerId,
    created: &Created,
    usage: &Usage,
    taken: Taken<'_>,
) -> ContainerStats {
    let timestamp = taken.at_ns;
    let config = &created.config;
    let limit = Some(usage.memory_limit_bytes).filter(|limit| *limit > 0);
    let available = limit.map(|limit| limit.saturating_sub(usage.working_set_bytes));
    ContainerStats {
        attributes: Some(ContainerAttributes {
            id: id.to_string(),
            metadata: config.metadata.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        }),
        cpu: Some(CpuUsage {
            timestamp,
            usage_core_nano_seconds: number(usage.cpu_ns),
            usage_nano_cores: None,
            psi: psi(usage.cpu_pressure),
        }),
        memory: Some(MemoryUsage {
            timestamp,
            working_set_bytes: number(usage.working_set_bytes),
            available_bytes: available.and_then(number),
            usage_bytes: number(usage.memory_bytes),
            rss_bytes: number(usage.rss_bytes),
            page_faults: number(usage.page_faults),
            major_page_faults: number(usage.major_page_faults),
            psi: psi(usage.memory_pressure),
        }),
        writable_layer: Some(FilesystemUsage {
            timestamp,
            fs_id: Some(FilesystemIdentifier {
                mountpoint: taken.disk.to_string_lossy().into_owned(),
            }),
            used_bytes: number(usage.writable_bytes),
            inodes_used: number(usage.writable_inodes),
        }),
        swap: Some(SwapUsage {
            timestamp,
            swap_available_bytes: None,
            swap_usage_bytes: number(usage.swap_bytes),
        }),
        io: usage.io_pressure.map(|pressure| IoUsage {
            timestamp,
            psi: psi(Some(pressure)),
        }),
    }
}

/// Of one pod, whose containers' are these.
pub(crate) fn sandbox_stats(
    (id, config): (&PodId, &PodSandboxConfig),
    usage: &PodUsage,
    timestamp: i64,
    containers: Vec<ContainerStats>,
) -> PodSandboxStats {
    let total = usage.memory_total_bytes;
    let used = |left: u64| number(total.saturating_sub(left));
    PodSandboxStats {
        attributes: Some(PodSandboxAttributes {
            id: id.to_string(),
            metadata: config.metadata.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        }),
        linux: Some(LinuxPodSandboxStats {
            cpu: Some(CpuUsage {
                timestamp,
                usage_core_nano_seconds: number(usage.cpu_ns),
                ..CpuUsage::default()
            }),
            memory: Some(MemoryUsage {
                timestamp,
                working_set_bytes: used(usage.memory_available_bytes),
                available_bytes: number(usage.memory_available_bytes),
                usage_bytes: used(usage.memory_free_bytes),
                ..MemoryUsage::default()
            }),
            network: Some(network(&usage.interfaces, timestamp)),
            process: Some(ProcessUsage {
                timestamp,
                process_count: number(usage.processes),
            }),
            containers,
            io: None,
        }),
        windows: None,
    }
}

fn network(interfaces: &[InterfaceUsage], timestamp: i64) -> NetworkUsage {
    let others = interfaces.iter().filter(|one| one.name != LOOPBACK);
    let (first, rest): (Vec<_>, Vec<_>) = others.partition(|one| one.name == DEFAULT_INTERFACE);
    NetworkUsage {
        timestamp,
        default_interface: first.first().map(|one| interface(one)),
        interfaces: rest.into_iter().map(interface).collect(),
    }
}

fn interface(usage: &InterfaceUsage) -> NetworkInterfaceUsage {
    NetworkInterfaceUsage {
        name: usage.name.clone(),
        rx_bytes: number(usage.received.bytes),
        rx_errors: number(usage.received.errors),
        tx_bytes: number(usage.sent.bytes),
        tx_errors: number(usage.sent.errors),
    }
}

fn psi(pressure: Option<Pressure>) -> Option<PsiStats> {
    let data = |share: PressureShare| {
        let [avg10, avg60, avg300] = share.averages;
        PsiData {
            total: share.total_us.saturating_mul(NS_PER_US),
            avg10,
            avg60,
            avg300,
        }
    };
    pressure.map(|pressure| PsiStats {
        full: Some(data(pressure.full)),
        some: Some(data(pressure.some)),
    })
}

fn number(value: u64) -> Option<UInt64Value> {
    Some(UInt64Value { value })
}

#[cfg(test)]
mod tests;
