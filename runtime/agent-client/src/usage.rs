//! What a pod and its containers use, as an agent says it. The numbers are a guest's: they may be any. Main types: [`PodUsage`],
//! [`Usage`].

use agent::agent as wire;

use crate::{deadlines::MAX_LISTED, text::shown};

/// What a container uses now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    pub container_id: String,
    /// The guest's clock when it was read, nanoseconds since 1970-01-01 UTC.
    pub time_ns: i64,
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    /// 0: there is none.
    pub memory_limit_bytes: u64,
    /// As the kubelet counts it: without pages of files that nobody has used for a while.
    pub working_set_bytes: u64,
    pub rss_bytes: u64,
    pub swap_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub cpu_us: u64,
    pub cpu_ns: u64,
    pub pids: u64,
    pub oom_kills: u64,
    /// Of the writable layer.
    pub writable_bytes: u64,
    pub writable_inodes: u64,
    pub cpu_pressure: Option<Pressure>,
    pub memory_pressure: Option<Pressure>,
    pub io_pressure: Option<Pressure>,
}

/// Time in which tasks waited for a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// At least one waited.
    pub some: PressureShare,
    /// All waited.
    pub full: PressureShare,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PressureShare {
    /// Percent, over the last 10, 60 and 300 seconds.
    pub averages: [f64; 3],
    pub total_us: u64,
}

/// What the whole guest uses now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodUsage {
    /// The guest's clock when it was read, nanoseconds since 1970-01-01 UTC.
    pub time_ns: i64,
    pub memory_total_bytes: u64,
    pub memory_available_bytes: u64,
    pub memory_free_bytes: u64,
    /// Of all processors, since the guest's boot.
    pub cpu_ns: u64,
    /// In containers.
    pub processes: u64,
    pub interfaces: Vec<InterfaceUsage>,
    /// Every container that has been started and not been removed.
    pub containers: Vec<Usage>,
}

/// What has passed a network interface of the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceUsage {
    pub name: String,
    pub received: Traffic,
    pub sent: Traffic,
}

/// One direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    pub dropped: u64,
}

impl From<wire::ContainerUsageResponse> for Usage {
    fn from(usage: wire::ContainerUsageResponse) -> Self {
        Self {
            container_id: shown(&usage.container_id),
            time_ns: usage.time_ns,
            memory_bytes: usage.memory_bytes,
            memory_peak_bytes: usage.memory_peak_bytes,
            memory_limit_bytes: usage.memory_limit_bytes,
            working_set_bytes: usage.working_set_bytes,
            rss_bytes: usage.rss_bytes,
            swap_bytes: usage.swap_bytes,
            page_faults: usage.page_faults,
            major_page_faults: usage.major_page_faults,
            cpu_us: usage.cpu_us,
            cpu_ns: usage.cpu_ns,
            pids: usage.pids,
            oom_kills: usage.oom_kills,
            writable_bytes: usage.writable_bytes,
            writable_inodes: usage.writable_inodes,
            cpu_pressure: usage.cpu_pressure.as_ref().map(pressure),
            memory_pressure: usage.memory_pressure.as_ref().map(pressure),
            io_pressure: usage.io_pressure.as_ref().map(pressure),
        }
    }
}

impl From<wire::PodUsageResponse> for PodUsage {
    fn from(usage: wire::PodUsageResponse) -> Self {
        Self {
            time_ns: usage.time_ns,
            memory_total_bytes: usage.memory_total_bytes,
            memory_available_bytes: usage.memory_available_bytes,
            memory_free_bytes: usage.memory_free_bytes,
            cpu_ns: usage.cpu_ns,
            processes: usage.processes,
            interfaces: listed(usage.interfaces, interface),
            containers: listed(usage.containers, Usage::from),
        }
    }
}

/// An honest guest has fewer.
fn listed<Wire, Value>(list: Vec<Wire>, value: impl FnMut(Wire) -> Value) -> Vec<Value> {
    list.into_iter().take(MAX_LISTED).map(value).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to a map")]
fn interface(usage: wire::InterfaceUsage) -> InterfaceUsage {
    InterfaceUsage {
        name: shown(&usage.name),
        received: Traffic {
            bytes: usage.received_bytes,
            packets: usage.received_packets,
            errors: usage.received_errors,
            dropped: usage.received_dropped,
        },
        sent: Traffic {
            bytes: usage.sent_bytes,
            packets: usage.sent_packets,
            errors: usage.sent_errors,
            dropped: usage.sent_dropped,
        },
    }
}

fn pressure(pressure: &wire::Pressure) -> Pressure {
    Pressure {
        some: share(&pressure.some),
        full: share(&pressure.full),
    }
}

/// A percentage that is no number is none.
fn share(share: &wire::PressureShare) -> PressureShare {
    let averages = [share.average_10s, share.average_60s, share.average_300s];
    PressureShare {
        averages: averages.map(|average| if average.is_finite() { average } else { 0.0 }),
        total_us: share.total_us,
    }
}

#[cfg(test)]
mod tests;
