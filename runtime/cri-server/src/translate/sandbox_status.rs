//! A pod's status as CRI says it. Main functions: [`sandbox`], for lists, and [`sandbox_status`].

use cri::v1::{
    LinuxPodSandboxStatus, Namespace, NamespaceOption, PodIp, PodSandbox, PodSandboxNetworkStatus,
    PodSandboxState, PodSandboxStatus,
};
use pod::{PodPhase, PodStatus};

use crate::note::Sandbox;

/// One of a list.
pub(crate) fn sandbox(sandbox: &Sandbox, status: &PodStatus) -> PodSandbox {
    PodSandbox {
        id: status.id.to_string(),
        metadata: sandbox.config.metadata.clone(),
        state: state(status).into(),
        created_at: status.created_at_ns,
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: sandbox.handler.clone(),
    }
}

/// All about one.
pub(crate) fn sandbox_status(sandbox: &Sandbox, status: &PodStatus) -> PodSandboxStatus {
    PodSandboxStatus {
        id: status.id.to_string(),
        metadata: sandbox.config.metadata.clone(),
        state: state(status).into(),
        created_at: status.created_at_ns,
        network: network(sandbox),
        linux: Some(LinuxPodSandboxStatus {
            namespaces: Some(Namespace {
                options: Some(namespace_options(sandbox)),
            }),
        }),
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: sandbox.handler.clone(),
    }
}

/// A sandbox that is being stopped takes no container any more.
fn state(status: &PodStatus) -> PodSandboxState {
    match status.phase {
        PodPhase::Running => PodSandboxState::SandboxReady,
        PodPhase::Stopping | PodPhase::Stopped { .. } => PodSandboxState::SandboxNotready,
    }
}

/// Still answered after the sandbox has stopped.
fn network(sandbox: &Sandbox) -> Option<PodSandboxNetworkStatus> {
    let (first, rest) = sandbox.ips.split_first()?;
    let additional_ips = rest.iter().map(|ip| PodIp { ip: ip.to_string() });
    Some(PodSandboxNetworkStatus {
        ip: first.to_string(),
        additional_ips: additional_ips.collect(),
    })
}

/// As they were asked for: kubelet makes a new sandbox when they differ.
fn namespace_options(sandbox: &Sandbox) -> NamespaceOption {
    let security = sandbox
        .config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.as_ref());
    let options = security.and_then(|security| security.namespace_options.clone());
    options.unwrap_or_default()
}

#[cfg(test)]
mod tests;
