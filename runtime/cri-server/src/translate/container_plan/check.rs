//! What of a container's configuration can't be done. Main function: [`check`].

use cri::v1::{
    ContainerConfig, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption,
    PodSandboxConfig, security_profile::ProfileType,
};
use model::UserNamespace;
use prost::Message;

use crate::{
    limits,
    translate::{
        pod_kind::{self, PodKind},
        refusal::Refusal,
        selinux, user_namespace, volumes,
    },
};

/// Before the name of a profile that the node has.
const PREFIX: &str = "localhost/";

/// Refuses what can't be done, and first what can never be right. `user` is the pod's user namespace.
pub(super) fn check(
    config: &ContainerConfig,
    sandbox: &PodSandboxConfig,
    (kind, user): (PodKind, Option<&UserNamespace>),
) -> Result<(), Refusal> {
    let bytes = config.encoded_len();
    if bytes > limits::MOST_CONFIG_BYTES {
        let most = limits::MOST_CONFIG_BYTES;
        let text = format!("the container's configuration has {bytes} bytes, {most} at most");
        return Err(Refusal::invalid(text));
    }
    if config
        .metadata
        .as_ref()
        .is_none_or(|metadata| metadata.name.is_empty())
    {
        return Err(Refusal::invalid("the container has no name"));
    }
    if config.stdin_once && !config.stdin {
        return Err(Refusal::invalid("stdin_once needs stdin"));
    }
    volumes::check_mounts(&config.mounts, (kind, user))?;
    let security = super::security_context(config);
    let options = security.and_then(|security| security.namespace_options.as_ref());
    user_namespace::check_same(options, user)?;
    if let Some(device) = config.cdi_devices.first() {
        return Err(Refusal::unimplemented(format!(
            "the CDI device {:?} can't be given to a container",
            device.name
        )));
    }
    match security {
        Some(security) => security_context(security, sandbox),
        None => Ok(()),
    }
}

fn security_context(
    security: &LinuxContainerSecurityContext,
    sandbox: &PodSandboxConfig,
) -> Result<(), Refusal> {
    let sandbox_linux = sandbox.linux.as_ref();
    let of_sandbox = sandbox_linux.and_then(|linux| linux.security_context.as_ref());
    if security.privileged && !of_sandbox.is_some_and(|security| security.privileged) {
        return Err(Refusal::invalid(
            "a privileged container needs a sandbox whose security_context says privileged",
        ));
    }
    selinux::check_level(security.selinux_options.as_ref())?;
    older_profile(security)?;
    let of_sandbox = pod_kind::options(sandbox_linux);
    match &security.namespace_options {
        Some(options) => namespaces(options, of_sandbox),
        None => Ok(()),
    }
}

/// The AppArmor profile that a container is to run under by its name. What a runtime's default is, is the runtime's to say: ours is none. In a VM the VM
/// is the wall; on the node it would have to be compiled for the node's kernel.
pub(crate) fn apparmor_profile(config: &ContainerConfig) -> Option<&str> {
    super::security_context(config).and_then(named_profile)
}

fn older_profile(security: &LinuxContainerSecurityContext) -> Result<(), Refusal> {
    #[expect(deprecated, reason = "clients still send the older field")]
    let older = security.apparmor_profile.as_str();
    match (&security.apparmor, older) {
        (Some(_), _) | (None, "" | "runtime/default" | "unconfined") => Ok(()),
        (None, older) if older.starts_with(PREFIX) => Ok(()),
        (None, older) => Err(Refusal::invalid(format!(
            "apparmor_profile {older:?} is none of runtime/default, unconfined and localhost/NAME"
        ))),
    }
}

/// Kubernetes' own prefix stands in the older field, and in the newer one where a client has copied it.
fn named_profile(security: &LinuxContainerSecurityContext) -> Option<&str> {
    #[expect(deprecated, reason = "clients still send the older field")]
    let older = security.apparmor_profile.strip_prefix(PREFIX);
    match &security.apparmor {
        Some(profile) if profile.profile_type() == ProfileType::Localhost => {
            let named = profile.localhost_ref.as_str();
            Some(named.strip_prefix(PREFIX).unwrap_or(named))
        }
        Some(_) => None,
        None => older,
    }
}

/// A container that is more of the node than its sandbox would be where nobody decided that it may be, and one that is less is none of Kubernetes'.
fn namespaces(options: &NamespaceOption, sandbox: Option<&NamespaceOption>) -> Result<(), Refusal> {
    let of_sandbox = sandbox.cloned().unwrap_or_default();
    for (field, own, pods) in [
        ("network", options.network(), of_sandbox.network()),
        ("pid", options.pid(), of_sandbox.pid()),
        ("ipc", options.ipc(), of_sandbox.ipc()),
    ] {
        let node = |mode| mode == NamespaceMode::Node;
        if node(own) != node(pods) {
            return Err(Refusal::invalid(format!(
                "the container's {field} namespace mode is {}, and its sandbox was run with {}: either both are NODE or none",
                own.as_str_name(),
                pods.as_str_name()
            )));
        }
    }
    Ok(())
}
