//! Statistics with values.

use cri::v1::{ContainerConfig, ContainerMetadata, PodSandboxMetadata};
use pod::Traffic;

use super::*;
use crate::note::ImageNames;

const AT_NS: i64 = 1_795_341_600_000_000_000;

fn labels(name: &str) -> std::collections::BTreeMap<String, String> {
    [("app".to_owned(), name.to_owned())].into()
}

fn created() -> Created {
    Created {
        config: ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: "main".to_owned(),
                attempt: 2,
            }),
            labels: labels("web"),
            annotations: labels("note"),
            ..ContainerConfig::default()
        },
        image: ImageNames {
            id: "sha256:1".to_owned(),
            name: "busybox".to_owned(),
            reference: "sha256:1".to_owned(),
        },
        stop_signal: 15,
    }
}

fn taken() -> Taken<'static> {
    Taken {
        at_ns: AT_NS,
        disk: Path::new("/var/lib/cofferdam/images"),
    }
}

fn usage() -> Usage {
    let share = |percent, total_us| PressureShare {
        averages: [percent, 0.0, 0.0],
        total_us,
    };
    Usage {
        container_id: "c1".to_owned(),
        // The guest's clock is not asked.
        time_ns: -7,
        memory_bytes: 100,
        memory_limit_bytes: 1000,
        working_set_bytes: 80,
        rss_bytes: 60,
        swap_bytes: 0,
        page_faults: 11,
        major_page_faults: 1,
        cpu_ns: 5_000_000,
        writable_bytes: 4096,
        writable_inodes: 3,
        cpu_pressure: Some(Pressure {
            some: share(1.5, 20),
            full: share(0.5, u64::MAX),
        }),
        ..Usage::default()
    }
}

#[test]
fn container_has_all_that_kubelet_reads() {
    let id = "c1".parse().unwrap();
    let stats = container_stats(&id, &created(), &usage(), taken());
    insta::assert_debug_snapshot!(stats);
}

#[test]
fn memory_that_is_left_is_said_only_beside_a_limit() {
    let available = |limit, working_set_bytes| {
        let usage = Usage {
            memory_limit_bytes: limit,
            working_set_bytes,
            ..usage()
        };
        let id = "c1".parse().unwrap();
        let stats = container_stats(&id, &created(), &usage, taken());
        let available = stats.memory.unwrap().available_bytes;
        available.map(|available| available.value)
    };
    assert_eq!(available(0, 80), None);
    assert_eq!(available(1000, 80), Some(920));
    assert_eq!(available(1000, 1001), Some(0));
}

#[test]
fn pod_has_its_guests_figures_and_its_network() {
    let interface = |name: &str, bytes| InterfaceUsage {
        name: name.to_owned(),
        received: Traffic {
            bytes,
            packets: 1,
            errors: 2,
            dropped: 3,
        },
        sent: Traffic {
            bytes: bytes + 1,
            ..Traffic::default()
        },
    };
    let usage = PodUsage {
        memory_total_bytes: 1000,
        memory_available_bytes: 700,
        memory_free_bytes: 600,
        cpu_ns: 9,
        processes: 4,
        interfaces: vec![
            interface("lo", 1),
            interface("net1", 20),
            interface("eth0", 10),
        ],
        ..PodUsage::default()
    };
    let id = "p1".parse().unwrap();
    let config = PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: "web".to_owned(),
            ..PodSandboxMetadata::default()
        }),
        labels: labels("web"),
        ..PodSandboxConfig::default()
    };
    let stats = sandbox_stats((&id, &config), &usage, AT_NS, Vec::new());
    insta::assert_debug_snapshot!(stats);
}
