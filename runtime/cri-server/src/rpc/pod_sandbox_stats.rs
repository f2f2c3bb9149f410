//! PodSandboxStats, ListPodSandboxStats and StreamPodSandboxStats: what pods use.

use std::sync::Arc;

use cri::v1::{
    PodSandboxStats, PodSandboxStatsFilter, PodSandboxStatsRequest, PodSandboxStatsResponse,
};
use tonic::Status;

use crate::{
    failure,
    node::Node,
    pods::Found,
    translate::{self, Taken},
    usage::{self, Answered},
    wall_clock,
};

pub(crate) async fn pod_sandbox_stats(
    node: &Arc<Node>,
    request: PodSandboxStatsRequest,
) -> Result<PodSandboxStatsResponse, Status> {
    let known = node.pod(&request.pod_sandbox_id)?;
    let usage = known.pod.usage().await;
    let usage = usage.map_err(|error| failure::pod(&error))?;
    let answered = Answered {
        known,
        usage,
        at_ns: wall_clock::now_ns(),
    };
    Ok(PodSandboxStatsResponse {
        stats: Some(stats(node, &answered)),
    })
}

/// A pod that does not run, or ends meanwhile, is left out.
pub(crate) async fn list_pod_sandbox_stats(
    node: &Arc<Node>,
    filter: Option<&PodSandboxStatsFilter>,
) -> Vec<PodSandboxStats> {
    let mut wanted = node.pods.all();
    wanted.retain(|known| {
        let labels = &known.sandbox.config.labels;
        translate::sandbox_stats_match(known.pod.id().as_str(), labels, filter)
    });
    let answers = usage::of_pods(node, wanted).await;
    let stats = answers.iter().map(|answered| stats(node, answered));
    stats.collect()
}

fn stats(node: &Node, answered: &Answered) -> PodSandboxStats {
    let pod = answered.known.pod.id();
    let containers = node.pods.containers_of(pod);
    let containers: Vec<&Found> = containers.iter().collect();
    let taken = Taken {
        at_ns: answered.at_ns,
        disk: node.store.root(),
    };
    let containers = translate::stats_of_containers(&containers, &answered.usage, taken);
    let config = &answered.known.sandbox.config;
    translate::sandbox_stats((pod, config), &answered.usage, answered.at_ns, containers)
}
