//! StartContainer: executes a created container's first process.

use std::sync::Arc;

use cri::v1::{StartContainerRequest, StartContainerResponse};
use tonic::Status;

use crate::{failure, node::Node, work};

pub(crate) async fn start_container(
    node: &Arc<Node>,
    request: StartContainerRequest,
) -> Result<StartContainerResponse, Status> {
    let found = node.container(&request.container_id)?;
    work::finish(async move {
        let started = found.known.pod.start_container(&found.id).await;
        started.map_err(|error| failure::pod(&error))?;
        tracing::info!("the container runs");
        Ok(())
    })
    .await?;
    Ok(StartContainerResponse {})
}
