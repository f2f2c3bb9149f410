//! What of a sandbox's configuration can't be done, wherever its pod is. Main function: [`check_sandbox`].

use cri::v1::{
    LinuxSandboxSecurityContext, NamespaceMode as Mode, NamespaceOption, PodSandboxConfig,
    PodSandboxMetadata,
};
use prost::Message;

use super::{
    pod_kind, refusal::Refusal, selinux, storage::check_storage, user_namespace::user_namespace,
};
use crate::limits;

/// Gives the sandbox's metadata if all that it asks for can be done.
pub(crate) fn check_sandbox(config: &PodSandboxConfig) -> Result<PodSandboxMetadata, Refusal> {
    let bytes = config.encoded_len();
    if bytes > limits::MOST_CONFIG_BYTES {
        let most = limits::MOST_CONFIG_BYTES;
        let text = format!("the sandbox's configuration has {bytes} bytes, {most} at most");
        return Err(Refusal::invalid(text));
    }
    let metadata = config
        .metadata
        .clone()
        .ok_or_else(|| Refusal::invalid("the sandbox has no metadata"))?;
    for (what, text) in [
        ("name", &metadata.name),
        ("namespace", &metadata.namespace),
        ("uid", &metadata.uid),
    ] {
        if text.is_empty() {
            let text = format!("the sandbox's metadata has no {what}");
            return Err(Refusal::invalid(text));
        }
    }
    if config.windows.is_some() && config.linux.is_none() {
        return Err(Refusal::invalid("the sandbox is one for Windows"));
    }
    if !config.log_directory.is_empty() && !config.log_directory.starts_with('/') {
        let text = format!("log_directory {:?} is not absolute", config.log_directory);
        return Err(Refusal::invalid(text));
    }
    if let Some(security) = config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.as_ref())
    {
        security_context(security)?;
    }
    user_namespace(config.linux.as_ref())?;
    check_storage(&config.annotations)?;
    Ok(metadata)
}

fn security_context(security: &LinuxSandboxSecurityContext) -> Result<(), Refusal> {
    if security.run_as_group.is_some() && security.run_as_user.is_none() {
        return Err(Refusal::invalid(
            "the sandbox's run_as_group needs a run_as_user",
        ));
    }
    selinux::check_level(security.selinux_options.as_ref())?;
    match &security.namespace_options {
        Some(options) => namespaces(options),
        None => Ok(()),
    }
}

fn namespaces(options: &NamespaceOption) -> Result<(), Refusal> {
    for (field, mode) in [
        ("network", options.network()),
        ("pid", options.pid()),
        ("ipc", options.ipc()),
    ] {
        match mode {
            Mode::Target | Mode::Container if field != "pid" => {
                return Err(Refusal::invalid(format!(
                    "the {field} namespace mode is POD or NODE, not {}",
                    mode.as_str_name()
                )));
            }
            Mode::Target => {
                return Err(Refusal::invalid(
                    "a sandbox's pid namespace mode can't be TARGET: only a container has a target",
                ));
            }
            // Where it is then, `pod_kind` says.
            Mode::Container | Mode::Pod | Mode::Node => {}
        }
    }
    Ok(())
}

/// Whether its containers see one another's processes. POD is CRI's default (api.proto, NamespaceOption.pid); kubelet always says
/// which it wants.
pub(crate) fn shares_pid_namespace(linux: Option<&cri::v1::LinuxPodSandboxConfig>) -> bool {
    pod_kind::options(linux).is_none_or(|options| options.pid() == Mode::Pod)
}

#[cfg(test)]
mod tests;
