//! Where a sandbox gets its network, the one place that will use the crate `network`: `open` from the node's CNI folders, `attach`
//! before the VM is launched (its taps are devices of the VM), `detach` once the VM is gone. Main type: [`Network`].
//!
//! This build has no CNI: a guest has its loopback interface only, a sandbox has no address, and Status says so.

use std::net::IpAddr;

use cri::v1::PodSandboxConfig;
use model::PodId;
use tonic::Status;

/// The node's network.
#[derive(Debug)]
pub(crate) struct Network;

/// What a sandbox has of it.
#[derive(Debug, Default)]
pub(crate) struct Attachment {
    /// The primary one first.
    pub(crate) ips: Vec<IpAddr>,
}

/// Whether pods get a network, as Status says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) ready: bool,
    /// One word in CamelCase; empty when it is ready.
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
}

impl Network {
    /// Gives a sandbox its network. A port of the host can't lead to a guest that has none.
    pub(crate) fn attach(
        &self,
        pod: &PodId,
        config: &PodSandboxConfig,
    ) -> Result<Attachment, Status> {
        if let Some(mapping) = config.port_mappings.iter().find(|port| port.host_port > 0) {
            return Err(Status::unimplemented(format!(
                "sandbox {pod} asks for port {} of the host, but this build gives pods no network",
                mapping.host_port
            )));
        }
        Ok(Attachment::default())
    }

    /// Takes the network of a sandbox whose VM is gone; one that has none is no error.
    pub(crate) fn detach(&self, pod: &PodId) {
        tracing::debug!(%pod, "the pod had no network to give back");
    }

    /// For Status.
    pub(crate) fn condition(&self) -> Condition {
        Condition {
            ready: false,
            reason: "NoNetworkPlugin",
            message: "this build runs no CNI plugins: pods have their loopback interface only",
        }
    }
}
