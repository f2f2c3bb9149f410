//! UpdateRuntimeConfig: the node's pod CIDR, which the network's own configuration files say.

use cri::v1::{UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse};

pub(crate) fn update_runtime_config(
    request: &UpdateRuntimeConfigRequest,
) -> UpdateRuntimeConfigResponse {
    let config = request.runtime_config.as_ref();
    let network = config.and_then(|config| config.network_config.as_ref());
    if let Some(network) = network {
        tracing::debug!(pod_cidr = ?network.pod_cidr, "nothing to do: CNI's files say the pods' addresses");
    }
    UpdateRuntimeConfigResponse {}
}
