//! StopPodSandbox: ends the containers and the VM, gives the network back. Any number of times.

use std::sync::Arc;

use cri::v1::{StopPodSandboxRequest, StopPodSandboxResponse};
use tonic::Status;

use crate::{
    failure,
    node::{Node, if_any},
    pods::Known,
    work,
};

pub(crate) async fn stop_pod_sandbox(
    node: &Arc<Node>,
    request: StopPodSandboxRequest,
) -> Result<StopPodSandboxResponse, Status> {
    if let Some(known) = if_any(node.pod(&request.pod_sandbox_id))? {
        let node = Arc::clone(node);
        work::finish(async move { stop(&node, &known).await }).await?;
    }
    Ok(StopPodSandboxResponse {})
}

async fn stop(node: &Node, known: &Known) -> Result<(), Status> {
    let stopped = known.pod.stop().await;
    stopped.map_err(|error| failure::pod(&error))?;
    node.reclaim.wish();
    node.network.detach(known.pod.id()).await?;
    tracing::info!("the pod has stopped");
    Ok(())
}
