//! Version: who we are. Waits for nothing.

use cri::v1::VersionResponse;

use crate::node::Node;

/// Of kubelet's own interface; it has never been another.
const KUBELET_API_VERSION: &str = "0.1.0";
const NAME: &str = "cofferdam";
const CRI_VERSION: &str = "v1";

pub(crate) fn version(node: &Node) -> VersionResponse {
    VersionResponse {
        version: KUBELET_API_VERSION.to_owned(),
        runtime_name: NAME.to_owned(),
        runtime_version: node.settings.version.clone(),
        runtime_api_version: CRI_VERSION.to_owned(),
    }
}
