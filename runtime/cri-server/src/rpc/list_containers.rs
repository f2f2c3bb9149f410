//! ListContainers and StreamContainers: which containers there are, the ended ones too.

use cri::v1::{Container, ContainerFilter};

use crate::{node::Node, translate};

pub(crate) fn list_containers(node: &Node, filter: Option<&ContainerFilter>) -> Vec<Container> {
    let all = node.pods.containers();
    let all = all.iter().map(|found| {
        let pod = found.known.pod.id();
        translate::container(pod, &found.id, &found.created, &found.container)
    });
    all.filter(|container| translate::container_matches(container, filter))
        .collect()
}
