//! Attach: gives a URL at which a client may connect to a container's first process.

use cri::v1::{AttachRequest, AttachResponse};
use streaming::{Asked, Attach, Server, Session};
use tonic::Status;

use crate::{failure, node::Node, translate};

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
    let found = node.running_container(&request.container_id, "attach to")?;
    let attach = Attach {
        container: found.id.to_string(),
        streams,
    };
    let url = streaming.open(Session::Attach(attach));
    let url = url.map_err(failure::streaming)?;
    Ok(AttachResponse { url })
}
