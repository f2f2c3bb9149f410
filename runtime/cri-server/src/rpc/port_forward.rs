//! PortForward: gives a URL at which a client may connect to ports of a pod's loopback.

use cri::v1::{PortForwardRequest, PortForwardResponse};
use streaming::{PortForward, Server, Session};
use tonic::Status;

use crate::{failure, node::Node, translate};

pub(crate) fn port_forward(
    node: &Node,
    streaming: &Server,
    request: &PortForwardRequest,
) -> Result<PortForwardResponse, Status> {
    let ports = translate::ports(&request.port)?;
    let known = node.ready_pod(&request.pod_sandbox_id)?;
    let port_forward = PortForward {
        sandbox: known.pod.id().to_string(),
        ports,
    };
    let url = streaming.open(Session::PortForward(port_forward));
    let url = url.map_err(failure::streaming)?;
    Ok(PortForwardResponse { url })
}
