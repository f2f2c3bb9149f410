//! ContainerStats, ListContainerStats and StreamContainerStats: what containers use.

use std::{collections::BTreeMap, sync::Arc};

use cri::v1::{
    ContainerStats, ContainerStatsFilter, ContainerStatsRequest, ContainerStatsResponse,
};
use model::PodId;
use tonic::Status;

use crate::{
    failure,
    node::Node,
    pods::{Found, Known},
    translate::{self, Taken},
    usage, wall_clock,
};

pub(crate) async fn container_stats(
    node: &Arc<Node>,
    request: ContainerStatsRequest,
) -> Result<ContainerStatsResponse, Status> {
    let found = node.container(&request.container_id)?;
    let usage = found.known.pod.usage().await;
    let usage = usage.map_err(|error| failure::pod(&error))?;
    let own = usage
        .containers
        .iter()
        .find(|usage| usage.container_id == found.id.as_str());
    let own = own.ok_or_else(|| {
        Status::failed_precondition(format!("container {} does not run", found.id))
    })?;
    let taken = Taken {
        at_ns: wall_clock::now_ns(),
        disk: node.store.root(),
    };
    Ok(ContainerStatsResponse {
        stats: Some(translate::container_stats(
            &found.id,
            &found.created,
            own,
            taken,
        )),
    })
}

/// A container that does not run, or ends meanwhile, is left out.
pub(crate) async fn list_container_stats(
    node: &Arc<Node>,
    filter: Option<&ContainerStatsFilter>,
) -> Vec<ContainerStats> {
    let mut wanted = node.pods.containers();
    wanted.retain(|found| {
        let labels = &found.created.config.labels;
        let pod = found.known.pod.id();
        translate::container_stats_match((found.id.as_str(), pod.as_str()), labels, filter)
    });
    let pods: BTreeMap<PodId, Arc<Known>> = wanted
        .iter()
        .map(|found| (found.known.pod.id().clone(), Arc::clone(&found.known)))
        .collect();
    let answers = usage::of_pods(node, pods.into_values().collect()).await;
    answers
        .iter()
        .flat_map(|answered| {
            let taken = Taken {
                at_ns: answered.at_ns,
                disk: node.store.root(),
            };
            let of_pod = |found: &&Found| found.known.pod.id() == answered.known.pod.id();
            let of_pod: Vec<&Found> = wanted.iter().filter(of_pod).collect();
            translate::stats_of_containers(&of_pod, &answered.usage, taken)
        })
        .collect()
}
