//! PodSandboxStatus: all about one sandbox, and about its containers for a kubelet that lives on events.

use std::{collections::BTreeMap, time::Duration};

use cri::v1::{PodSandboxStatusRequest, PodSandboxStatusResponse};
use pod::{PodPhase, PodStatus};
use serde_json::json;
use tonic::Status;

use crate::{node::Node, translate, wall_clock};

pub(crate) fn pod_sandbox_status(
    node: &Node,
    request: &PodSandboxStatusRequest,
) -> Result<PodSandboxStatusResponse, Status> {
    let known = node.pod(&request.pod_sandbox_id)?;
    let timestamp = wall_clock::now_ns();
    let status = known.pod.status();
    let containers = node.pods.containers_of(known.pod.id());
    let containers_statuses = containers
        .iter()
        .map(|found| translate::container_status(&found.created, &found.container));
    let info = if request.verbose {
        BTreeMap::from([("info".to_owned(), info(&status))])
    } else {
        BTreeMap::new()
    };
    Ok(PodSandboxStatusResponse {
        status: Some(translate::sandbox_status(&known.sandbox, &status)),
        info,
        containers_statuses: containers_statuses.collect(),
        timestamp,
    })
}

fn info(status: &PodStatus) -> String {
    let cause = match &status.phase {
        PodPhase::Stopped { cause } => cause.as_deref(),
        PodPhase::Running | PodPhase::Stopping => None,
    };
    let microseconds = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let stages = status.stages.iter();
    let stages = stages.map(|stage| json!({"name": stage.name, "us": microseconds(stage.took)}));
    let launch = status.launch.as_ref().map(|launch| {
        json!({
            "message_us": launch.message_us,
            "jailed_us": launch.jailed_us,
            "assembled_us": launch.assembled_us,
            "running_us": launch.running_us,
        })
    });
    json!({
        "phase": status.phase,
        "cause": cause,
        "containers": status.containers.len(),
        // How long the stages of the start took, in order and without gaps.
        "start": stages.collect::<Vec<_>>(),
        // When the monitor was how far, since its exec; not known after a restart of the daemon.
        "launch": launch,
        "pid": status.monitor_pid,
        "cgroup": status.cgroup,
    })
    .to_string()
}
