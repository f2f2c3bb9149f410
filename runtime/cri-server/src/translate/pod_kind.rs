//! Whether a sandbox's pod is in a VM or on the node. Main function: [`pod_kind`].
//!
//! It takes three things, and nothing else has a say: the sandbox's namespace options, which say outright that the pod is to see the node; what the configuration
//! says of its runtime handler; and whether the configuration allows pods on the node. Images, containers, annotations and labels never do.

use cri::v1::{LinuxPodSandboxConfig, NamespaceMode as Mode, NamespaceOption};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::settings::HandlerKind;

/// Where a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PodKind {
    /// In a VM of its own.
    #[default]
    Vm,
    /// On the node, as ordinary containers.
    Host,
}

/// Decides.
pub(crate) fn pod_kind(
    linux: Option<&LinuxPodSandboxConfig>,
    handler: HandlerKind,
    host_pods: bool,
) -> Result<PodKind, Refusal> {
    let reason = match (node_namespace(linux), handler) {
        (None, HandlerKind::Vm) => return Ok(PodKind::Vm),
        (Some(what), _) => format!("a pod with {what} can't be in a VM of its own"),
        (None, HandlerKind::Host) => "the pod's runtime handler is for pods on the node".to_owned(),
    };
    if host_pods {
        Ok(PodKind::Host)
    } else {
        Err(Refusal::Unfit(format!(
            "{reason}, and this node runs no pods outside of VMs (host_pods.enabled in the configuration)"
        )))
    }
}

/// Of one of the node's namespaces that the pod asks for: how a pod's specification says it.
fn node_namespace(linux: Option<&LinuxPodSandboxConfig>) -> Option<&'static str> {
    let options = options(linux)?;
    let asked = [
        ("hostNetwork", options.network()),
        ("hostPID", options.pid()),
        ("hostIPC", options.ipc()),
    ];
    let node = asked.into_iter().find(|(_, mode)| *mode == Mode::Node);
    node.map(|(what, _)| what)
}

/// What the sandbox says of its namespaces.
pub(crate) fn options(linux: Option<&LinuxPodSandboxConfig>) -> Option<&NamespaceOption> {
    let security = linux?.security_context.as_ref();
    security?.namespace_options.as_ref()
}

/// Which namespaces a pod on the node has of its own. It has the node's host name where it has its network, as Kubernetes has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnNamespaces {
    pub(crate) network: bool,
    pub(crate) ipc: bool,
}

impl OwnNamespaces {
    pub(crate) fn of(linux: Option<&LinuxPodSandboxConfig>) -> Self {
        let node = |mode: fn(&NamespaceOption) -> Mode| {
            options(linux).is_some_and(|options| mode(options) == Mode::Node)
        };
        Self {
            network: !node(NamespaceOption::network),
            ipc: !node(NamespaceOption::ipc),
        }
    }
}

#[cfg(test)]
mod tests;
