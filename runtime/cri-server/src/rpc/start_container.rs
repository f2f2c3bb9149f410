//! StartContainer: executes a created container's first process.

use std::sync::Arc;

use cri::v1::{StartContainerRequest, StartContainerResponse};
use pod::{PodError, Streams};
use tonic::Status;

use crate::{exec_output, failure, node::Node, pods::Found, work};

pub(crate) async fn start_container(
    node: &Arc<Node>,
    request: StartContainerRequest,
) -> Result<StartContainerResponse, Status> {
    let found = node.container(&request.container_id)?;
    work::finish(async move {
        let started = start(&found).await;
        started.map_err(|error| failure::pod(&error))?;
        tracing::info!("the container runs");
        Ok(())
    })
    .await?;
    Ok(StartContainerResponse {})
}

async fn start(found: &Found) -> Result<(), PodError> {
    let pod = &found.known.pod;
    if found.container.log.is_some() {
        return pod.start_container(&found.id).await;
    }
    // Nobody asked for its output, but what nobody reads would hold it up.
    let process = pod.start_attached(&found.id).await?;
    let Streams {
        stdin,
        stdout,
        stderr,
    } = process.streams;
    tokio::spawn(async move {
        let stderr = async {
            if let Some(stderr) = stderr {
                exec_output::discard(stderr).await;
            }
        };
        tokio::join!(exec_output::discard(stdout), stderr);
        drop(stdin);
    });
    Ok(())
}
