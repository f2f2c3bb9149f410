//! What a guest says that its containers use, under the names that cAdvisor made known: kubelet shows it at /metrics/cadvisor. Main
//! functions: [`descriptors`], [`guest_metrics`], [`container_metrics`]. The names are in `family`.
//!
//! - CRI's figures are whole numbers, so seconds are whole seconds; a rate over some minutes is right all the same.
//! - A pod's own figures are its whole guest's, with an empty `container`, as those of a pod's cgroup are with cAdvisor: sums over
//!   `container!=""` count nothing twice.
//! - `id` and `name` are the id of the container or of the sandbox: there is no cgroup on the host for a container.

mod family;

use cri::v1::{ContainerMetrics, Metric, UInt64Value};
use model::Limits;
use pod::{Container, ContainerPhase, PodUsage, Pressure, Usage};

use crate::note::{Created, Sandbox};
use family::Family;
pub(crate) use family::descriptors;

const NS_PER_SECOND: u64 = 1_000_000_000;
const US_PER_SECOND: u64 = 1_000_000;
const US_PER_PERIOD: u64 = 100_000;

/// What a series is of; the values of [`family::COMMON`].
struct Subject<'a> {
    container: &'a str,
    id: &'a str,
    image: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

/// The series of one subject.
struct Series<'a> {
    subject: Subject<'a>,
    metrics: Vec<Metric>,
}

/// Of a pod's guest, that has answered at this time.
pub(crate) fn guest_metrics(
    (id, sandbox): (&str, &Sandbox),
    created_at_ns: i64,
    usage: &PodUsage,
    at_ns: i64,
) -> Vec<Metric> {
    let name = sandbox.name();
    let mut series = Series::of(Subject {
        container: "",
        id,
        image: "",
        namespace: &name.namespace,
        pod: &name.name,
    });
    let total = usage.memory_total_bytes;
    series.add(&family::CPU_USAGE, usage.cpu_ns / NS_PER_SECOND);
    let used = total.saturating_sub(usage.memory_free_bytes);
    series.add(&family::MEMORY_USAGE, used);
    let working_set = total.saturating_sub(usage.memory_available_bytes);
    series.add(&family::MEMORY_WORKING_SET, working_set);
    series.add(&family::SPEC_MEMORY_LIMIT, total);
    series.add(&family::PROCESSES, usage.processes);
    series.add(&family::START_TIME, seconds(created_at_ns));
    series.add(&family::LAST_SEEN, seconds(at_ns));
    for interface in &usage.interfaces {
        let (received, sent) = (interface.received, interface.sent);
        let figures = [
            (&family::RECEIVED_BYTES, received.bytes),
            (&family::RECEIVED_PACKETS, received.packets),
            (&family::RECEIVED_ERRORS, received.errors),
            (&family::RECEIVED_DROPPED, received.dropped),
            (&family::SENT_BYTES, sent.bytes),
            (&family::SENT_PACKETS, sent.packets),
            (&family::SENT_ERRORS, sent.errors),
            (&family::SENT_DROPPED, sent.dropped),
        ];
        for (family, value) in figures {
            series.add_of(family, &[&interface.name], value);
        }
    }
    series.metrics
}

/// Of one of its containers.
pub(crate) fn container_metrics(
    sandbox: &Sandbox,
    (created, container): (&Created, &Container),
    usage: &Usage,
    at_ns: i64,
) -> ContainerMetrics {
    let (pod, (name, _attempt)) = (sandbox.name(), created.name());
    let mut series = Series::of(Subject {
        container: &name,
        id: container.id.as_str(),
        image: &created.image.name,
        namespace: &pod.namespace,
        pod: &pod.name,
    });
    add_usage(&mut series, usage);
    for (families, pressure) in [
        (family::CPU_PRESSURE, usage.cpu_pressure),
        (family::MEMORY_PRESSURE, usage.memory_pressure),
        (family::IO_PRESSURE, usage.io_pressure),
    ] {
        add_pressure(&mut series, &families, pressure);
    }
    add_limits(&mut series, &container.spec.limits, usage);
    if let ContainerPhase::Running { started_at_ns } = container.phase {
        series.add(&family::START_TIME, seconds(started_at_ns));
    }
    series.add(&family::LAST_SEEN, seconds(at_ns));
    ContainerMetrics {
        container_id: container.id.to_string(),
        metrics: series.metrics,
    }
}

fn add_usage(series: &mut Series<'_>, usage: &Usage) {
    series.add(&family::CPU_USAGE, usage.cpu_ns / NS_PER_SECOND);
    series.add(&family::MEMORY_USAGE, usage.memory_bytes);
    series.add(&family::MEMORY_MOST, usage.memory_peak_bytes);
    series.add(&family::MEMORY_WORKING_SET, usage.working_set_bytes);
    series.add(&family::MEMORY_RSS, usage.rss_bytes);
    series.add(&family::MEMORY_SWAP, usage.swap_bytes);
    let scope = "container";
    let minor_and_major = usage.page_faults;
    series.add_of(&family::MEMORY_FAULTS, &["pgfault", scope], minor_and_major);
    let major = usage.major_page_faults;
    series.add_of(&family::MEMORY_FAULTS, &["pgmajfault", scope], major);
    series.add(&family::OOM_EVENTS, usage.oom_kills);
    series.add(&family::THREADS, usage.pids);
    let device = "writable-layer";
    series.add_of(&family::FS_USAGE, &[device], usage.writable_bytes);
}

/// What a kernel does not count is left out.
fn add_pressure(series: &mut Series<'_>, families: &[Family; 2], pressure: Option<Pressure>) {
    let Some(pressure) = pressure else { return };
    let [waiting, stalled] = families;
    series.add(waiting, pressure.some.total_us / US_PER_SECOND);
    series.add(stalled, pressure.full.total_us / US_PER_SECOND);
}

/// As they are now. A limit that is not there is 0 for memory and left out for processor time, as cAdvisor has it.
fn add_limits(series: &mut Series<'_>, limits: &Limits, usage: &Usage) {
    series.add(&family::SPEC_MEMORY_LIMIT, usage.memory_limit_bytes);
    let swap = limits.memory_and_swap_bytes.unwrap_or(0);
    series.add(&family::SPEC_MEMORY_SWAP_LIMIT, swap);
    let period = limits.cpu_period_us.unwrap_or(US_PER_PERIOD);
    series.add(&family::SPEC_CPU_PERIOD, period);
    if let Some(quota) = limits.cpu_quota_us {
        series.add(&family::SPEC_CPU_QUOTA, quota);
    }
    if let Some(shares) = limits.cpu_shares {
        series.add(&family::SPEC_CPU_SHARES, shares);
    }
}

/// Whole seconds since 1970; a clock that is before that says 0.
fn seconds(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or(0) / NS_PER_SECOND
}

impl<'a> Series<'a> {
    fn of(subject: Subject<'a>) -> Self {
        let metrics = Vec::new();
        Self { subject, metrics }
    }

    fn add(&mut self, family: &Family, value: u64) {
        self.add_of(family, &[], value);
    }

    /// `own` are the values of the family's own labels, in their order.
    fn add_of(&mut self, family: &Family, own: &[&str], value: u64) {
        debug_assert_eq!(own.len(), family.own_labels.len(), "{}", family.name);
        let Subject {
            container,
            id,
            image,
            namespace,
            pod,
        } = self.subject;
        let common = [container, id, image, id, namespace, pod];
        let values = common.iter().chain(own);
        self.metrics.push(Metric {
            name: family.name.to_owned(),
            // Taken now.
            timestamp: 0,
            metric_type: family.metric_type.into(),
            label_values: values.map(|value| (*value).to_owned()).collect(),
            value: Some(UInt64Value { value }),
        });
    }
}

#[cfg(test)]
mod tests;
