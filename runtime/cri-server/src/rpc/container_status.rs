//! ContainerStatus: all about one container.

use std::collections::BTreeMap;

use cri::v1::{ContainerStatusRequest, ContainerStatusResponse};
use serde_json::json;
use tonic::Status;

use crate::{node::Node, pods::Found, translate};

pub(crate) fn container_status(
    node: &Node,
    request: &ContainerStatusRequest,
) -> Result<ContainerStatusResponse, Status> {
    let found = node.container(&request.container_id)?;
    let info = if request.verbose {
        BTreeMap::from([("info".to_owned(), info(&found))])
    } else {
        BTreeMap::new()
    };
    Ok(ContainerStatusResponse {
        status: Some(translate::container_status(
            &found.created,
            &found.container,
        )),
        info,
    })
}

/// Without the environment: it holds secrets.
fn info(found: &Found) -> String {
    let spec = &found.container.spec;
    json!({
        "sandboxID": found.known.pod.id(),
        "phase": found.container.phase,
        "args": spec.args,
        "cwd": spec.cwd,
        "user": spec.user,
        "limits": spec.limits,
    })
    .to_string()
}
