//! The names, kinds and labels of metrics, as cAdvisor has them (google/cadvisor, docs/storage/prometheus.md). Main type: [`Family`].
//! A table: what is not in [`FAMILIES`] is dropped by kubelet in silence, and a test holds that nothing is.

use cri::v1::{MetricDescriptor, MetricType};

/// The labels that each series has, before its own.
pub(super) const COMMON: [&str; 6] = ["container", "id", "image", "name", "namespace", "pod"];

/// All series of one name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) metric_type: MetricType,
    /// After [`COMMON`].
    pub(super) own_labels: &'static [&'static str],
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    family(name, help, MetricType::Counter, &[])
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    family(name, help, MetricType::Gauge, &[])
}

const fn interface(name: &'static str, help: &'static str) -> Family {
    family(name, help, MetricType::Counter, &["interface"])
}

const fn family(
    name: &'static str,
    help: &'static str,
    metric_type: MetricType,
    own_labels: &'static [&'static str],
) -> Family {
    Family {
        name,
        help,
        metric_type,
        own_labels,
    }
}

/// Declares each family and, once, the table of them all.
macro_rules! families {
    ($($constant:ident = $value:expr;)*) => {
        $(pub(super) const $constant: Family = $value;)*
        const SINGLE: &[Family] = &[$($constant),*];
    };
}

families! {
    CPU_USAGE = counter("container_cpu_usage_seconds_total", "Processor time used, in seconds.");
    MEMORY_USAGE = gauge("container_memory_usage_bytes", "Memory in use, whatever for, in bytes.");
    MEMORY_MOST = gauge("container_memory_max_usage_bytes", "Most memory that has been in use, in bytes.");
    MEMORY_WORKING_SET = gauge(
        "container_memory_working_set_bytes",
        "Memory in use without pages of files that nobody has used for a while, in bytes."
    );
    MEMORY_RSS = gauge("container_memory_rss", "Anonymous memory, in bytes.");
    MEMORY_SWAP = gauge("container_memory_swap", "Swap in use, in bytes.");
    MEMORY_FAULTS = family(
        "container_memory_failures_total",
        "Page faults, all of them and those that waited for a disk.",
        MetricType::Counter,
        &["failure_type", "scope"]
    );
    OOM_EVENTS = counter("container_oom_events_total", "Processes killed because memory ran out.");
    PROCESSES = gauge("container_processes", "Processes in the containers of a pod.");
    THREADS = gauge("container_threads", "Processes and threads.");
    FS_USAGE = family(
        "container_fs_usage_bytes",
        "Bytes in the writable layer.",
        MetricType::Gauge,
        &["device"]
    );
    SPEC_MEMORY_LIMIT = gauge("container_spec_memory_limit_bytes", "Limit of memory, in bytes; 0 is none.");
    SPEC_MEMORY_SWAP_LIMIT = gauge(
        "container_spec_memory_swap_limit_bytes",
        "Limit of memory and swap together, in bytes; 0 is none."
    );
    SPEC_CPU_PERIOD = gauge("container_spec_cpu_period", "Period of the processor quota, in microseconds.");
    SPEC_CPU_QUOTA = gauge("container_spec_cpu_quota", "Processor time in each period, in microseconds.");
    SPEC_CPU_SHARES = gauge("container_spec_cpu_shares", "Weight for processor time; 1024 is one processor's.");
    START_TIME = gauge("container_start_time_seconds", "When it started, in seconds since 1970.");
    LAST_SEEN = gauge("container_last_seen", "When it was looked at, in seconds since 1970.");
    RECEIVED_BYTES = interface("container_network_receive_bytes_total", "Bytes received.");
    RECEIVED_PACKETS = interface("container_network_receive_packets_total", "Packets received.");
    RECEIVED_ERRORS = interface("container_network_receive_errors_total", "Errors while receiving.");
    RECEIVED_DROPPED = interface(
        "container_network_receive_packets_dropped_total",
        "Packets dropped while receiving."
    );
    SENT_BYTES = interface("container_network_transmit_bytes_total", "Bytes sent.");
    SENT_PACKETS = interface("container_network_transmit_packets_total", "Packets sent.");
    SENT_ERRORS = interface("container_network_transmit_errors_total", "Errors while sending.");
    SENT_DROPPED = interface("container_network_transmit_packets_dropped_total", "Packets dropped while sending.");
}

/// Time in which some task waited, and in which all did.
pub(super) const CPU_PRESSURE: [Family; 2] = [
    counter(
        "container_pressure_cpu_waiting_seconds_total",
        "Time in which a task waited for a processor, in seconds.",
    ),
    counter(
        "container_pressure_cpu_stalled_seconds_total",
        "Time in which all tasks waited for a processor, in seconds.",
    ),
];
pub(super) const MEMORY_PRESSURE: [Family; 2] = [
    counter(
        "container_pressure_memory_waiting_seconds_total",
        "Time in which a task waited for memory, in seconds.",
    ),
    counter(
        "container_pressure_memory_stalled_seconds_total",
        "Time in which all tasks waited for memory, in seconds.",
    ),
];
pub(super) const IO_PRESSURE: [Family; 2] = [
    counter(
        "container_pressure_io_waiting_seconds_total",
        "Time in which a task waited for a disk, in seconds.",
    ),
    counter(
        "container_pressure_io_stalled_seconds_total",
        "Time in which all tasks waited for a disk, in seconds.",
    ),
];

fn all() -> impl Iterator<Item = Family> {
    let pressure = [CPU_PRESSURE, MEMORY_PRESSURE, IO_PRESSURE].concat();
    SINGLE.iter().copied().chain(pressure)
}

/// What kubelet is told of them.
pub(crate) fn descriptors() -> Vec<MetricDescriptor> {
    let described = all().map(|family| MetricDescriptor {
        name: family.name.to_owned(),
        help: family.help.to_owned(),
        label_keys: COMMON
            .iter()
            .chain(family.own_labels)
            .map(|key| (*key).to_owned())
            .collect(),
    });
    described.collect()
}
