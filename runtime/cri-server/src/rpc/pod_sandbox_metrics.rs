//! ListMetricDescriptors, ListPodSandboxMetrics and StreamPodSandboxMetrics: what pods use, for kubelet's /metrics/cadvisor.

use std::sync::Arc;

use cri::v1::{ListMetricDescriptorsResponse, PodSandboxMetrics};

use crate::{
    node::Node,
    translate,
    usage::{self, Answered},
};

pub(crate) fn list_metric_descriptors() -> ListMetricDescriptorsResponse {
    ListMetricDescriptorsResponse {
        descriptors: translate::descriptors(),
    }
}

/// A pod that does not run, or ends meanwhile, is left out.
pub(crate) async fn list_pod_sandbox_metrics(node: &Arc<Node>) -> Vec<PodSandboxMetrics> {
    let answers = usage::of_pods(node, node.pods.all()).await;
    let metrics = answers.iter().map(|answered| metrics(node, answered));
    metrics.collect()
}

fn metrics(node: &Node, answered: &Answered) -> PodSandboxMetrics {
    let Answered {
        known,
        usage,
        at_ns,
    } = answered;
    let (id, sandbox) = (known.pod.id(), &known.sandbox);
    let containers = node.pods.containers_of(id);
    let of_containers = containers.iter().filter_map(|found| {
        let mut all = usage.containers.iter();
        let own = all.find(|usage| usage.container_id == found.id.as_str())?;
        let asked_and_is = (&*found.created, &*found.container);
        Some(translate::container_metrics(
            sandbox,
            asked_and_is,
            own,
            *at_ns,
        ))
    });
    let since_ns = known.pod.status().created_at_ns;
    PodSandboxMetrics {
        pod_sandbox_id: id.to_string(),
        metrics: translate::guest_metrics((id.as_str(), sandbox), since_ns, usage, *at_ns),
        container_metrics: of_containers.collect(),
    }
}
