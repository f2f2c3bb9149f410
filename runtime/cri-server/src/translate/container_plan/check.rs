//! What of a container's configuration can't be done. Main function: [`check`].

use cri::v1::{
    ContainerConfig, LinuxContainerSecurityContext, NamespaceMode, SecurityProfile,
    security_profile::ProfileType,
};
use prost::Message;

use crate::{
    limits,
    translate::{refusal::Refusal, volumes},
};

/// Refuses what can't be done, and first what can never be right.
pub(super) fn check(config: &ContainerConfig) -> Result<(), Refusal> {
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
    volumes::check_mounts(&config.mounts)?;
    if let Some(device) = config.devices.first() {
        return Err(Refusal::unimplemented(format!(
            "the device {:?} can't be given to a container in a VM",
            device.host_path
        )));
    }
    if let Some(device) = config.cdi_devices.first() {
        return Err(Refusal::unimplemented(format!(
            "the CDI device {:?} can't be given to a container in a VM",
            device.name
        )));
    }
    match config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.as_ref())
    {
        Some(security) => security_context(security),
        None => Ok(()),
    }
}

fn security_context(security: &LinuxContainerSecurityContext) -> Result<(), Refusal> {
    let no = |what: &str| {
        Err(Refusal::unimplemented(format!(
            "{what} can't be done by this build"
        )))
    };
    if security.privileged {
        return no("a privileged container");
    }
    if let Some(capabilities) = &security.capabilities {
        let lists = [
            ("adding", &capabilities.add_capabilities),
            ("dropping", &capabilities.drop_capabilities),
            ("making ambient", &capabilities.add_ambient_capabilities),
        ];
        for (verb, list) in lists {
            if !list.is_empty() {
                return no(&format!("{verb} the capabilities {}", list.join(", ")));
            }
        }
    }
    if !security.supplemental_groups.is_empty() {
        return no("giving a container supplemental_groups");
    }
    profiles(security)?;
    let elsewhere = |path: &&String| !path.starts_with("/proc/") && !path.starts_with("/sys/");
    if let Some(path) = security.masked_paths.iter().find(elsewhere) {
        return no(&format!("masking {path:?}"));
    }
    if let Some(path) = security.readonly_paths.iter().find(elsewhere) {
        return no(&format!("making {path:?} read-only"));
    }
    match security.namespace_options.as_ref() {
        Some(options) if options.pid() == NamespaceMode::Target => {
            no("joining the pid namespace of another container (mode TARGET)")
        }
        Some(options)
            if [options.network(), options.pid(), options.ipc()].contains(&NamespaceMode::Node) =>
        {
            no("a container in a namespace of the node")
        }
        _ => Ok(()),
    }
}

fn profiles(security: &LinuxContainerSecurityContext) -> Result<(), Refusal> {
    #[expect(deprecated, reason = "clients still send the older fields")]
    let (seccomp_path, apparmor_name) =
        (&security.seccomp_profile_path, &security.apparmor_profile);
    let local = |profile: &Option<SecurityProfile>, older: &str| match profile {
        Some(profile) if profile.profile_type() == ProfileType::Localhost => {
            Some(profile.localhost_ref.clone())
        }
        Some(_) => None,
        None => older.strip_prefix("localhost/").map(str::to_owned),
    };
    if let Some(name) = local(&security.apparmor, apparmor_name) {
        return Err(Refusal::unimplemented(format!(
            "the AppArmor profile {name:?} can't be loaded: the guest's kernel has no AppArmor"
        )));
    }
    if let Some(path) = local(&security.seccomp, seccomp_path) {
        return Err(Refusal::unimplemented(format!(
            "the seccomp profile {path:?} can't be loaded: this build has the runtime's default profile only"
        )));
    }
    Ok(())
}
