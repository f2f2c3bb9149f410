//! Metrics with values: what is said is described, with as many values as there are labels.

use std::collections::{BTreeMap, BTreeSet};

use cri::v1::{ContainerConfig, ContainerMetadata, PodSandboxConfig, PodSandboxMetadata};
use pod::{InterfaceUsage, PressureShare, Traffic};
use serde_json::json;

use super::*;
use crate::{note::ImageNames, translate::PodKind};

const AT_NS: i64 = 1_795_341_600_900_000_000;

fn sandbox() -> Sandbox {
    Sandbox {
        config: PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: "web".to_owned(),
                uid: "u".to_owned(),
                namespace: "shop".to_owned(),
                attempt: 0,
            }),
            ..PodSandboxConfig::default()
        },
        handler: String::new(),
        ips: Vec::new(),
        kind: PodKind::Vm,
        huge_pages: Vec::new(),
    }
}

fn created() -> Created {
    Created {
        config: ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: "main".to_owned(),
                attempt: 2,
            }),
            ..ContainerConfig::default()
        },
        image: ImageNames {
            id: "sha256:1".to_owned(),
            name: "docker.io/library/busybox:latest".to_owned(),
            reference: "sha256:1".to_owned(),
        },
        stop_signal: 15,
    }
}

/// As a restart reads it from its record.
fn container(limits: &serde_json::Value, phase: &ContainerPhase) -> Container {
    serde_json::from_value(json!({
        "id": "c1",
        "note": null,
        "spec": {
            "args": ["sh"], "env": [], "cwd": "/", "user": {}, "stdin": false, "terminal": null,
            "limits": limits, "read_only_root": false, "no_new_privileges": false,
        },
        "created_at_ns": 100,
        "phase": phase,
        "log": null,
        "writable_bytes": 0,
        "disk": null,
    }))
    .unwrap()
}

fn pressure(seconds: u64) -> Option<Pressure> {
    let share = |seconds: u64| PressureShare {
        averages: [0.0; 3],
        total_us: seconds * US_PER_SECOND + 999_999,
    };
    Some(Pressure {
        some: share(seconds + 1),
        full: share(seconds),
    })
}

fn usage() -> Usage {
    Usage {
        container_id: "c1".to_owned(),
        cpu_ns: 61 * NS_PER_SECOND + 5,
        memory_bytes: 1000,
        memory_limit_bytes: 32 << 20,
        working_set_bytes: 800,
        oom_kills: 3,
        pids: 7,
        cpu_pressure: pressure(10),
        memory_pressure: pressure(20),
        io_pressure: pressure(30),
        ..Usage::default()
    }
}

fn full_container() -> ContainerMetrics {
    let limits = json!({"cpu_quota_us": 50_000, "cpu_shares": 512});
    let phase = ContainerPhase::Running {
        started_at_ns: AT_NS - 3_000_000_000,
    };
    let container = container(&limits, &phase);
    container_metrics(&sandbox(), (&created(), &container), &usage(), AT_NS)
}

fn full_guest() -> Vec<Metric> {
    let usage = PodUsage {
        memory_total_bytes: 1000,
        memory_available_bytes: 700,
        memory_free_bytes: 600,
        cpu_ns: 2 * NS_PER_SECOND,
        processes: 4,
        interfaces: vec![InterfaceUsage {
            name: "eth0".to_owned(),
            received: Traffic {
                bytes: 11,
                packets: 12,
                errors: 13,
                dropped: 14,
            },
            sent: Traffic {
                bytes: 21,
                ..Traffic::default()
            },
        }],
        ..PodUsage::default()
    };
    guest_metrics(("p1", &sandbox()), 5_500_000_000, &usage, AT_NS)
}

/// Name and value, the series' own labels behind the name.
fn values(metrics: &[Metric]) -> BTreeMap<String, u64> {
    let pairs = metrics.iter().map(|metric| {
        let own = metric.label_values[family::COMMON.len()..].join(",");
        let value = metric.value.as_ref().unwrap().value;
        (format!("{} {own}", metric.name), value)
    });
    pairs.collect()
}

#[test]
fn what_is_said_is_described_and_what_is_described_is_said() {
    let described: BTreeMap<String, usize> = descriptors()
        .into_iter()
        .map(|one| (one.name, one.label_keys.len()))
        .collect();
    assert_eq!(
        described.len(),
        descriptors().len(),
        "a name is there twice"
    );
    let said = [full_guest(), full_container().metrics].concat();
    for metric in &said {
        let keys = described.get(&metric.name);
        assert_eq!(keys, Some(&metric.label_values.len()), "{metric:?}");
    }
    let said: BTreeSet<&str> = said.iter().map(|metric| metric.name.as_str()).collect();
    let described: BTreeSet<&str> = described.keys().map(String::as_str).collect();
    assert_eq!(said, described);
}

#[test]
fn labels_stand_in_the_order_of_their_keys() {
    let descriptors = descriptors();
    let check = |metric: &Metric, expect: &[(&str, &str)]| {
        let described = descriptors.iter().find(|one| one.name == metric.name);
        let keys = described.unwrap().label_keys.iter().map(String::as_str);
        let pairs: Vec<_> = keys
            .zip(metric.label_values.iter().map(String::as_str))
            .collect();
        assert_eq!(pairs, expect);
    };
    let container = full_container();
    assert_eq!(container.container_id, "c1");
    let faults = "container_memory_failures_total";
    let metric = container
        .metrics
        .iter()
        .find(|metric| metric.name == faults);
    check(
        metric.unwrap(),
        &[
            ("container", "main"),
            ("id", "c1"),
            ("image", "docker.io/library/busybox:latest"),
            ("name", "c1"),
            ("namespace", "shop"),
            ("pod", "web"),
            ("failure_type", "pgfault"),
            ("scope", "container"),
        ],
    );
    let guest = full_guest();
    let received = "container_network_receive_bytes_total";
    let metric = guest.iter().find(|metric| metric.name == received);
    check(
        metric.unwrap(),
        &[
            ("container", ""),
            ("id", "p1"),
            ("image", ""),
            ("name", "p1"),
            ("namespace", "shop"),
            ("pod", "web"),
            ("interface", "eth0"),
        ],
    );
}

#[test]
fn container_has_its_figures_in_the_units_of_the_names() {
    let values = values(&full_container().metrics);
    let check = |name: &str, expect: u64| assert_eq!(values.get(name), Some(&expect), "{name}");
    check("container_cpu_usage_seconds_total ", 61);
    check("container_memory_usage_bytes ", 1000);
    check("container_memory_working_set_bytes ", 800);
    check("container_oom_events_total ", 3);
    check("container_threads ", 7);
    check("container_spec_memory_limit_bytes ", 32 << 20);
    check("container_spec_cpu_quota ", 50_000);
    check("container_spec_cpu_period ", 100_000);
    check("container_start_time_seconds ", 1_795_341_597);
    check("container_last_seen ", 1_795_341_600);
    check("container_pressure_cpu_stalled_seconds_total ", 10);
    check("container_pressure_cpu_waiting_seconds_total ", 11);
    check("container_pressure_io_stalled_seconds_total ", 30);
}

#[test]
fn guest_has_its_memory_and_its_interfaces() {
    let values = values(&full_guest());
    let check = |name: &str, expect: u64| assert_eq!(values.get(name), Some(&expect), "{name}");
    check("container_cpu_usage_seconds_total ", 2);
    check("container_memory_usage_bytes ", 400);
    check("container_memory_working_set_bytes ", 300);
    check("container_spec_memory_limit_bytes ", 1000);
    check("container_processes ", 4);
    check("container_start_time_seconds ", 5);
    check("container_network_receive_packets_dropped_total eth0", 14);
    check("container_network_transmit_bytes_total eth0", 21);
}

#[test]
fn what_is_not_there_is_not_said() {
    let container = container(&json!({}), &ContainerPhase::Created);
    let usage = Usage::default();
    let metrics = container_metrics(&sandbox(), (&created(), &container), &usage, -1);
    let values = values(&metrics.metrics);
    for absent in [
        "container_start_time_seconds ",
        "container_spec_cpu_quota ",
        "container_spec_cpu_shares ",
        "container_pressure_cpu_stalled_seconds_total ",
    ] {
        assert!(!values.contains_key(absent), "{absent}");
    }
    assert_eq!(values["container_spec_memory_limit_bytes "], 0);
    assert_eq!(values["container_last_seen "], 0);
}
