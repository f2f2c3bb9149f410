//! What a container may do, and whose namespaces it is in. Main functions: [`security`], [`namespaces`], [`seccomp_file`].
//!
//! The lists of masked and read-only paths are taken as they are: kubelet always sends them, and empty ones mean `procMount: Unmasked`.
//! Only a container without any security context has the runtime's own lists.

use std::path::PathBuf;

use cri::v1::{
    ContainerConfig, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption,
    security_profile::ProfileType,
};
use model::{
    CapabilityChanges, ContainerId, NamespaceOf, Namespaces, Seccomp, Security, UserNamespace,
};

use super::check::apparmor_profile;
use crate::translate::{devices::Devices, pod_kind::PodKind, refusal::Refusal};

/// What is said of seccomp.
#[derive(Debug, PartialEq, Eq)]
enum Profile {
    Default,
    Unconfined,
    File(String),
}

/// The host's file with the container's seccomp profile, if it has one.
pub(crate) fn seccomp_file(config: &ContainerConfig) -> Result<Option<PathBuf>, Refusal> {
    let security = super::security_context(config);
    match security.filter(|security| !security.privileged) {
        Some(security) => match profile(security)? {
            Profile::File(path) if !path.starts_with('/') => Err(Refusal::invalid(format!(
                "the seccomp profile {path:?} is not an absolute path"
            ))),
            Profile::File(path) => Ok(Some(path.into())),
            Profile::Default | Profile::Unconfined => Ok(None),
        },
        None => Ok(None),
    }
}

/// `profile_text` is what is in the file that [`seccomp_file`] names.
pub(super) fn security(
    config: &ContainerConfig,
    profile_text: Option<String>,
    kind: PodKind,
    devices: Devices,
) -> Result<Security, Refusal> {
    let Devices { of_guest, block } = devices;
    // What is mounted of the node may hold device nodes, whose numbers are those of the guest's disks.
    let mounts_host = config.mounts.iter().any(|mount| mount.image.is_none());
    let filters_devices = kind == PodKind::Host || mounts_host;
    let Some(asked) = super::security_context(config) else {
        return Ok(Security {
            seccomp: Seccomp::Unconfined,
            devices: of_guest,
            block_devices: block,
            filters_devices,
            ..Security::default()
        });
    };
    let changes = asked.capabilities.clone().unwrap_or_default();
    let seccomp = match (profile_text, profile(asked)?) {
        (Some(text), _) => Seccomp::Localhost(text),
        (None, Profile::Unconfined) => Seccomp::Unconfined,
        // Only a privileged container comes with a file that has not been read, and it has no filter.
        (None, Profile::Default | Profile::File(_)) => Seccomp::RuntimeDefault,
    };
    Ok(Security {
        privileged: asked.privileged,
        capabilities: CapabilityChanges {
            add: changes.add_capabilities,
            drop: changes.drop_capabilities,
            add_ambient: changes.add_ambient_capabilities,
        },
        seccomp,
        masked_paths: Some(asked.masked_paths.clone()),
        read_only_paths: Some(asked.readonly_paths.clone()),
        devices: of_guest,
        block_devices: block,
        filters_devices,
        apparmor_profile: apparmor_profile(config).map(str::to_owned),
    })
}

/// Nothing said is no filter (api.proto, seccomp_profile_path: "" is "identical with unconfined"). kubelet always names one.
fn profile(security: &LinuxContainerSecurityContext) -> Result<Profile, Refusal> {
    if let Some(said) = &security.seccomp {
        return Ok(match said.profile_type() {
            ProfileType::RuntimeDefault => Profile::Default,
            ProfileType::Unconfined => Profile::Unconfined,
            ProfileType::Localhost => Profile::File(said.localhost_ref.clone()),
        });
    }
    #[expect(deprecated, reason = "clients still send the older field")]
    let older = security.seccomp_profile_path.as_str();
    match older {
        "runtime/default" | "docker/default" => Ok(Profile::Default),
        "" | "unconfined" => Ok(Profile::Unconfined),
        _ => match older.strip_prefix("localhost/") {
            Some(path) => Ok(Profile::File(path.to_owned())),
            None => Err(Refusal::invalid(format!(
                "seccomp_profile_path {older:?} is none of runtime/default, unconfined and localhost/PATH"
            ))),
        },
    }
}

/// Host name, queues, shared memory and users are the pod's; processes are, where the pod says so and the container does not want its own, or
/// another container's. A pod on the node may have the node's processes, and a privileged container there sees all of the node's cgroups.
pub(super) fn namespaces(
    asked: &LinuxContainerSecurityContext,
    of_pod: Option<&NamespaceOption>,
    (kind, user): (PodKind, Option<UserNamespace>),
) -> Result<Namespaces, Refusal> {
    // POD is CRI's default.
    let of_pod = of_pod.map_or(NamespaceMode::Pod, NamespaceOption::pid);
    let options = asked.namespace_options.as_ref();
    let own = options.map_or(of_pod, NamespaceOption::pid);
    if own == NamespaceMode::Pod && of_pod != NamespaceMode::Pod {
        return Err(Refusal::invalid(
            "the container's pid namespace mode is POD, and its sandbox was run with another one: their namespace_options have to agree",
        ));
    }
    Ok(Namespaces {
        pid: match own {
            NamespaceMode::Pod => NamespaceOf::Pod,
            NamespaceMode::Node => NamespaceOf::Node,
            NamespaceMode::Container | NamespaceMode::Target => NamespaceOf::Container,
        },
        pid_target: options.map(target).transpose()?.flatten(),
        ipc: NamespaceOf::Pod,
        uts: NamespaceOf::Pod,
        cgroup: match (kind, asked.privileged) {
            (PodKind::Host, true) => NamespaceOf::Node,
            _ => NamespaceOf::Container,
        },
        user,
    })
}

fn target(options: &NamespaceOption) -> Result<Option<ContainerId>, Refusal> {
    if options.pid() != NamespaceMode::Target {
        return Ok(None);
    }
    options.target_id.parse().map(Some).map_err(|_bad| {
        let id = &options.target_id;
        Refusal::invalid(format!(
            "the pid namespace mode is TARGET, and target_id {id:?} is no container's id"
        ))
    })
}

#[cfg(test)]
mod tests;
