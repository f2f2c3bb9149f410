//! RemoveContainer: kills it if it runs, then forgets it. Its log stays.

use std::{sync::Arc, time::Duration};

use cri::v1::{RemoveContainerRequest, RemoveContainerResponse};
use model::Fault;
use pod::PodError;
use tonic::Status;

use crate::{
    failure,
    node::{Node, if_any},
    pods::Found,
    work,
};

pub(crate) async fn remove_container(
    node: &Arc<Node>,
    request: RemoveContainerRequest,
) -> Result<RemoveContainerResponse, Status> {
    if let Some(found) = if_any(node.container(&request.container_id))? {
        let node = Arc::clone(node);
        work::finish(async move {
            match remove(&found).await {
                // With its pod it is gone as well.
                Ok(()) | Err(PodError::TornDown) => {}
                Err(error) if error.fault() == Fault::NotFound => {}
                Err(error) => return Err(failure::pod(&error)),
            }
            node.pods.forget_container(&found.id);
            node.reclaim.wish();
            tracing::info!("the container has been removed");
            Ok(())
        })
        .await?;
    }
    Ok(RemoveContainerResponse {})
}

async fn remove(found: &Found) -> Result<(), PodError> {
    let pod = &found.known.pod;
    let signal = found.created.stop_signal;
    pod.stop_container(&found.id, signal, Duration::ZERO)
        .await?;
    pod.remove_container(&found.id).await
}
