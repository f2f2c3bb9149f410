//! Attach: gives a URL at which a client may connect to a container's first process.

use cri::v1::{AttachRequest, AttachResponse};
use pod::ContainerPhase;
use streaming::{Asked, Attach, Server, Session};
use tonic::Status;

use crate::{failure, node::Node, pods::Found, translate};

pub(crate) fn attach(
    node: &Node,
    streaming: &Server,
    request: &AttachRequest,
) -> Result<AttachResponse, Status> {
    let streams = translate::asked(Asked {
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
        tty: request.tty,
    })?;
    let found = running(node, &request.container_id, "attach to")?;
    let attach = Attach {
        container: found.id.to_string(),
        streams,
    };
    let url = streaming.open(Session::Attach(attach));
    let url = url.map_err(failure::streaming)?;
    Ok(AttachResponse { url })
}

/// A container in which something can be done.
pub(super) fn running(node: &Node, id: &str, attempt: &str) -> Result<Found, Status> {
    let found = node.container(id)?;
    if matches!(found.container.phase, ContainerPhase::Running { .. }) {
        return Ok(found);
    }
    let text = format!("{attempt} container {}: it does not run", found.id);
    Err(Status::failed_precondition(text))
}
