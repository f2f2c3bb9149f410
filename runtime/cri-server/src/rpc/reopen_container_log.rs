//! ReopenContainerLog: kubelet has renamed the log; with the answer the new one is there.

use std::sync::Arc;

use cri::v1::{ReopenContainerLogRequest, ReopenContainerLogResponse};
use tonic::Status;

use crate::{failure, node::Node};

pub(crate) async fn reopen_container_log(
    node: &Arc<Node>,
    request: ReopenContainerLogRequest,
) -> Result<ReopenContainerLogResponse, Status> {
    let found = node.container(&request.container_id)?;
    let reopened = found.known.pod.reopen_log(&found.id).await;
    reopened.map_err(|error| failure::pod(&error))?;
    Ok(ReopenContainerLogResponse {})
}
