//! RemovePodSandbox: the sandbox and its containers, whatever they do.

use std::sync::Arc;

use cri::v1::{RemovePodSandboxRequest, RemovePodSandboxResponse};
use tonic::Status;

use crate::{
    failure,
    node::{Node, if_any},
    pods::Known,
    work,
};

pub(crate) async fn remove_pod_sandbox(
    node: &Arc<Node>,
    request: RemovePodSandboxRequest,
) -> Result<RemovePodSandboxResponse, Status> {
    if let Some(known) = if_any(node.pod(&request.pod_sandbox_id))? {
        let node = Arc::clone(node);
        work::finish(async move { remove(&node, &known).await }).await?;
    }
    Ok(RemovePodSandboxResponse {})
}

/// Ends the pod, removes its record, and only then lets go of its name.
pub(super) async fn remove(node: &Node, known: &Known) -> Result<(), Status> {
    let stopped = known.pod.stop().await;
    stopped.map_err(|error| failure::pod(&error))?;
    node.reclaim.wish();
    // Before the record: what it says is what a next daemon knows of the pod.
    node.network.detach(known.pod.id()).await?;
    let removed = known.pod.remove().await;
    removed.map_err(|error| failure::pod(&error))?;
    node.pods.forget(known.pod.id());
    tracing::info!("the pod has been removed");
    Ok(())
}
