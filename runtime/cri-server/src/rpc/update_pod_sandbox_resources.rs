//! UpdatePodSandboxResources: kubelet says, after a pod was resized, what its containers may use together; it does so as best it can, and goes
//! on whatever the answer is. The VM keeps its size: the limits of the containers within it have been changed one by one, and those of
//! the pod's cgroup by kubelet itself. So there is nothing to do here but to know the sandbox, and to say what does not fit.

use cri::v1::{UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse};
use tonic::Status;

use crate::{node::Node, translate};

pub(crate) fn update_pod_sandbox_resources(
    node: &Node,
    request: &UpdatePodSandboxResourcesRequest,
) -> Result<UpdatePodSandboxResourcesResponse, Status> {
    let known = node.pod(&request.pod_sandbox_id)?;
    let settings = &node.settings;
    let defaults = settings.guest(&known.sandbox.handler).size;
    let size = |resources, overhead| {
        let linux = cri::v1::LinuxPodSandboxConfig {
            resources,
            overhead,
            ..Default::default()
        };
        let layer_mib = settings.memory_layer_mib();
        translate::vm_size(Some(&linux), defaults, layer_mib, &known.sandbox.huge_pages)
    };
    let linux = known.sandbox.config.linux.clone().unwrap_or_default();
    let is = size(linux.resources, linux.overhead.clone());
    let wanted = size(
        request.resources.clone(),
        request.overhead.clone().or(linux.overhead),
    );
    if wanted.memory_mib > is.memory_mib || wanted.processors > is.processors {
        tracing::warn!(
            memory_mib = is.memory_mib,
            wanted_memory_mib = wanted.memory_mib,
            processors = is.processors,
            wanted_processors = wanted.processors,
            "a pod was resized beyond its VM, which keeps its size until the pod is made anew"
        );
    }
    Ok(UpdatePodSandboxResourcesResponse {})
}
