//! StopContainer: asks, waits, kills. Returns when it is dead, and kills also when the client did not wait.

use std::{sync::Arc, time::Duration};

use cri::v1::{StopContainerRequest, StopContainerResponse};
use model::Fault;
use tonic::Status;

use crate::{
    failure,
    node::{Node, if_any},
};

pub(crate) async fn stop_container(
    node: &Arc<Node>,
    request: StopContainerRequest,
) -> Result<StopContainerResponse, Status> {
    let Some(found) = if_any(node.container(&request.container_id))? else {
        return Ok(StopContainerResponse {});
    };
    // A time below zero has passed.
    let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
    let signal = found.created.stop_signal;
    let stopped = found.known.pod.stop_container(&found.id, signal, grace);
    match stopped.await {
        Ok(()) => tracing::info!("the container has stopped"),
        Err(error) if error.fault() == Fault::NotFound => {}
        Err(error) => return Err(failure::pod(&error)),
    }
    Ok(StopContainerResponse {})
}
