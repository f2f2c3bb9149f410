//! PodSandboxStatus: all about one sandbox, and about its containers for a kubelet that lives on events.

use std::collections::BTreeMap;

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
    json!({ "phase": status.phase, "cause": cause, "containers": status.containers.len() })
        .to_string()
}
