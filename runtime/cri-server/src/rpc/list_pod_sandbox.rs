//! ListPodSandbox and StreamPodSandboxes: which sandboxes there are.

use cri::v1::{PodSandbox, PodSandboxFilter};

use crate::{node::Node, translate};

pub(crate) fn list_pod_sandbox(node: &Node, filter: Option<&PodSandboxFilter>) -> Vec<PodSandbox> {
    let all = node.pods.all();
    let all = all
        .iter()
        .map(|known| translate::sandbox(&known.sandbox, &known.pod.status()));
    all.filter(|sandbox| translate::sandbox_matches(sandbox, filter))
        .collect()
}
