//! Exec: gives a URL at which a client may execute a command in a container.

use cri::v1::{ExecRequest, ExecResponse};
use streaming::{Asked, Exec, Server, Session};
use tonic::Status;

use crate::{failure, node::Node, translate};

pub(crate) fn exec(
    node: &Node,
    streaming: &Server,
    request: ExecRequest,
) -> Result<ExecResponse, Status> {
    let streams = translate::asked(Asked {
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
        tty: request.tty,
    })?;
    if request.cmd.first().is_none_or(String::is_empty) {
        return Err(Status::invalid_argument("there is no command to execute"));
    }
    let found = node.running_container(&request.container_id, "execute a command in")?;
    let exec = Exec {
        container: found.id.to_string(),
        command: request.cmd,
        streams,
    };
    let url = streaming.open(Session::Exec(exec));
    let url = url.map_err(failure::streaming)?;
    Ok(ExecResponse { url })
}
