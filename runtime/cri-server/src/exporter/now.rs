//! What is true of the node's pods at the moment of a scrape: how many there are, and what those that run cost. Main functions: [`look`],
//! [`register`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use pod::{ContainerPhase, PodPhase};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::memory;
use crate::{node::Node, note::SandboxName};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPod {
    namespace: String,
    pod: String,
    id: String,
}

/// What a scrape is about.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pods: [u32; 3],
    containers: [u32; 3],
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    id: String,
    name: SandboxName,
    monitor_pid: Option<u32>,
    cgroup: Option<PathBuf>,
}

const POD_STATES: [&str; 3] = ["running", "stopping", "stopped"];
const CONTAINER_STATES: [&str; 3] = ["created", "running", "exited"];

/// Waits for nobody.
pub(super) fn look(node: &Node) -> Seen {
    let mut seen = Seen::default();
    for known in node.pods.all() {
        let status = known.pod.status();
        let [running, stopping, stopped] = &mut seen.pods;
        *match status.phase {
            PodPhase::Running => running,
            PodPhase::Stopping => stopping,
            PodPhase::Stopped { .. } => stopped,
        } += 1;
        let [created, running, exited] = &mut seen.containers;
        for container in status.containers.values() {
            *match container.phase {
                ContainerPhase::Created | ContainerPhase::Starting => &mut *created,
                ContainerPhase::Running { .. } => &mut *running,
                ContainerPhase::Exited(_) => &mut *exited,
            } += 1;
        }
        if status.phase == PodPhase::Running {
            seen.running.push(Running {
                id: status.id.to_string(),
                name: known.sandbox.name(),
                monitor_pid: status.monitor_pid,
                cgroup: status.cgroup.clone(),
            });
        }
    }
    seen
}

/// Reads files of the kernel, for which it may wait. A pod that ends meanwhile is left out.
pub(super) fn register(seen: Seen, registry: &mut Registry) {
    let states = |counts: [u32; 3], names: [&'static str; 3]| {
        let family = Family::<State, Gauge>::default();
        for (count, state) in counts.into_iter().zip(names) {
            family.get_or_create(&State { state }).set(count.into());
        }
        family
    };
    let pods = states(seen.pods, POD_STATES);
    registry.register("pods", "Pods that the daemon knows", pods);
    let containers = states(seen.containers, CONTAINER_STATES);
    let help = "Containers that the daemon knows";
    registry.register("containers", help, containers);
    let (overhead, memory) = (
        Family::<OfPod, Gauge>::default(),
        Family::<OfPod, Gauge>::default(),
    );
    for pod in seen.running {
        let labels = OfPod {
            namespace: pod.name.namespace,
            pod: pod.name.name,
            id: pod.id,
        };
        if let Some(bytes) = pod.monitor_pid.and_then(memory::overhead_bytes) {
            overhead.get_or_create(&labels).set(bytes);
        }
        if let Some(bytes) = pod.cgroup.as_deref().and_then(current) {
            memory.get_or_create(&labels).set(bytes);
        }
    }
    registry.register_with_unit(
        "pod_overhead",
        "What a running pod's monitor has in memory beside its guest's RAM (PSS)",
        Unit::Bytes,
        overhead,
    );
    registry.register_with_unit(
        "pod_memory",
        "What counts in a running pod's cgroup: its guest's RAM as far as it is used, the monitor's own, the kernel's for it",
        Unit::Bytes,
        memory,
    );
}

/// None where the memory controller is not handed down to it.
fn current(cgroup: &Path) -> Option<i64> {
    let text = fs::read_to_string(cgroup.join("memory.current")).ok()?;
    text.trim().parse().ok()
}
