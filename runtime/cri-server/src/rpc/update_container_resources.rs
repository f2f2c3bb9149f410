//! UpdateContainerResources: changes the limits of a running container, all that are said or none. An `oom_score_adj` is passed over:
//! kubelet says it with every change, and it is set once, at the container's start.

use std::sync::Arc;

use cri::v1::{UpdateContainerResourcesRequest, UpdateContainerResourcesResponse};
use tonic::Status;

use crate::{failure, node::Node, translate};

pub(crate) async fn update_container_resources(
    node: &Arc<Node>,
    request: UpdateContainerResourcesRequest,
) -> Result<UpdateContainerResourcesResponse, Status> {
    let found = node.container(&request.container_id)?;
    if request.windows.is_some() && request.linux.is_none() {
        let text = "the resources are those of a container for Windows";
        return Err(Status::invalid_argument(text));
    }
    let change = translate::limits_change(&request.linux.unwrap_or_default())?;
    let updated = found.known.pod.update_container(&found.id, change).await;
    updated.map_err(|error| failure::pod(&error))?;
    Ok(UpdateContainerResourcesResponse {})
}
