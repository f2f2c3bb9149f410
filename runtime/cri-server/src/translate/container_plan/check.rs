//! What of a container's configuration can't be done. Main function: [`check`].

use cri::v1::{
    ContainerConfig, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption,
    PodSandboxConfig, security_profile::ProfileType,
};
use model::UserNamespace;
use prost::Message;

use crate::{
    limits,
    translate::{refusal::Refusal, user_namespace, volumes},
};

/// Refuses what can't be done, and first what can never be right. `user` is the pod's user namespace.
pub(super) fn check(
    config: &ContainerConfig,
    sandbox: &PodSandboxConfig,
    user: Option<&UserNamespace>,
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
    volumes::check_mounts(&config.mounts, user)?;
    let security = super::security_context(config);
    let options = security.and_then(|security| security.namespace_options.as_ref());
    user_namespace::check_same(options, user)?;
    if let Some(device) = config.cdi_devices.first() {
        return Err(Refusal::unimplemented(format!(
            "the CDI device {:?} can't be given to a container in a VM",
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
    modules(security)?;
    match &security.namespace_options {
        Some(options) => namespaces(options),
        None => Ok(()),
    }
}

/// Of the kernel, for mandatory access control. What a runtime's default is, is the runtime's to say: here it is the VM.
fn modules(security: &LinuxContainerSecurityContext) -> Result<(), Refusal> {
    #[expect(deprecated, reason = "clients still send the older field")]
    let older = security.apparmor_profile.strip_prefix("localhost/");
    let apparmor = match &security.apparmor {
        Some(profile) if profile.profile_type() == ProfileType::Localhost => {
            Some(profile.localhost_ref.as_str())
        }
        Some(_) => None,
        None => older,
    };
    if let Some(name) = apparmor {
        return Err(Refusal::unimplemented(format!(
            "the AppArmor profile {name:?} can't be loaded: the guest's kernel has no AppArmor"
        )));
    }
    let Some(label) = &security.selinux_options else {
        return Ok(());
    };
    let parts = [&label.user, &label.role, &label.r#type, &label.level];
    if parts.iter().all(|part| part.is_empty()) {
        return Ok(());
    }
    let label = parts.map(String::as_str).join(":");
    Err(Refusal::unimplemented(format!(
        "the selinux_options {label:?} can't be set: the guest's kernel has no SELinux"
    )))
}

fn namespaces(options: &NamespaceOption) -> Result<(), Refusal> {
    for (field, mode) in [
        ("network", options.network()),
        ("pid", options.pid()),
        ("ipc", options.ipc()),
    ] {
        if mode == NamespaceMode::Node {
            return Err(Refusal::unimplemented(format!(
                "the {field} namespace of the node (mode NODE) can't be given to a container in a VM"
            )));
        }
    }
    Ok(())
}
