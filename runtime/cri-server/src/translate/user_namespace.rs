//! The user namespace of a pod (`hostUsers: false`): whether it can be, and whether its containers and their mounts say the same. Main functions:
//! [`user_namespace`] and [`check_users_of`], of a sandbox, [`check_same`], of a container, and [`maps_owners`], of a mount.

use cri::v1::{
    IdMapping, LinuxPodSandboxConfig, Mount, NamespaceMode as Mode, NamespaceOption,
    UserNamespace as Asked,
};
use model::{IdRange, UserNamespace};

use super::{pod_kind::PodKind, refusal::Refusal};

/// The one that the sandbox's containers are to be in.
pub(crate) fn user_namespace(
    linux: Option<&LinuxPodSandboxConfig>,
) -> Result<Option<UserNamespace>, Refusal> {
    let security = linux.and_then(|linux| linux.security_context.as_ref());
    let options = security.and_then(|security| security.namespace_options.as_ref());
    let Some(user) = decide(options)? else {
        return Ok(None);
    };
    if security.is_some_and(|security| security.privileged) {
        return Err(Refusal::unimplemented(
            "a privileged pod can't have a user namespace (hostUsers: false): what it may do more belongs to the root of its guest",
        ));
    }
    Ok(Some(user))
}

/// Refuses one for a pod on the node.
pub(crate) fn check_users_of(
    kind: PodKind,
    linux: Option<&LinuxPodSandboxConfig>,
) -> Result<(), Refusal> {
    match (kind, user_namespace(linux)?) {
        (PodKind::Host, Some(_)) => Err(Refusal::unimplemented(
            "a pod on the node can't have a user namespace (hostUsers: false): only pods in VMs do; take hostUsers, or its RuntimeClass, out of the pod",
        )),
        _ => Ok(()),
    }
}

/// A container that says nothing is in its sandbox's.
pub(super) fn check_same(
    container: Option<&NamespaceOption>,
    sandbox: Option<&UserNamespace>,
) -> Result<(), Refusal> {
    if container.is_none_or(|options| options.userns_options.is_none()) {
        return Ok(());
    }
    let own = decide(container)?;
    if own.as_ref() == sandbox {
        return Ok(());
    }
    let (own, sandbox) = (shown(own.as_ref()), shown(sandbox));
    Err(Refusal::invalid(format!(
        "the container's userns_options ask for {own}, and its sandbox was run with {sandbox}: a pod has one user namespace"
    )))
}

/// Whether the owners of what is mounted are seen through the pod's user namespace.
pub(super) fn maps_owners(mount: &Mount, pod: Option<&UserNamespace>) -> Result<bool, Refusal> {
    if mount.uid_mappings.is_empty() && mount.gid_mappings.is_empty() {
        return Ok(false);
    }
    let ranges = (
        range("uid_mappings", &mount.uid_mappings)?,
        range("gid_mappings", &mount.gid_mappings)?,
    );
    let at = &mount.container_path;
    match pod {
        Some(user) if (user.uids, user.gids) == ranges => Ok(true),
        Some(user) => Err(Refusal::invalid(format!(
            "the mount at {at:?}: its uid_mappings and gid_mappings are not those of its sandbox, which has {}",
            shown(Some(user))
        ))),
        None => Err(Refusal::invalid(format!(
            "the mount at {at:?} has uid_mappings or gid_mappings, and its sandbox no user namespace"
        ))),
    }
}

fn decide(options: Option<&NamespaceOption>) -> Result<Option<UserNamespace>, Refusal> {
    let Some(asked) = options.and_then(|options| options.userns_options.as_ref()) else {
        return Ok(None);
    };
    let Asked { uids, gids, .. } = asked;
    match asked.mode() {
        Mode::Container | Mode::Target => Err(Refusal::invalid(format!(
            "the user namespace mode is POD or NODE, not {}",
            asked.mode().as_str_name()
        ))),
        Mode::Node if uids.is_empty() && gids.is_empty() => Ok(None),
        Mode::Node => Err(Refusal::invalid(
            "user namespace mode NODE takes no id mappings",
        )),
        Mode::Pod => {
            let user = UserNamespace {
                uids: range("uids", uids)?,
                gids: range("gids", gids)?,
            };
            match pod::check_user_namespace(&user) {
                Ok(()) => Ok(Some(user)),
                Err(error) => Err(Refusal::invalid(model::chain(&error))),
            }
        }
    }
}

/// Kubernetes gives each pod one range, the same for users and groups; more can't be told from a mistake.
fn range(which: &str, list: &[IdMapping]) -> Result<IdRange, Refusal> {
    match list {
        [one] => Ok(IdRange {
            container: one.container_id,
            guest: one.host_id,
            length: one.length,
        }),
        _ => Err(Refusal::invalid(format!(
            "a user namespace takes exactly one id mapping in {which}, not {}",
            list.len()
        ))),
    }
}

fn shown(user: Option<&UserNamespace>) -> String {
    let Some(UserNamespace { uids, gids }) = user else {
        return "none".to_owned();
    };
    let range = |range: &IdRange| {
        let IdRange {
            container,
            guest,
            length,
        } = range;
        format!("{container} to {guest}, {length} of them")
    };
    format!("uids {} and gids {}", range(uids), range(gids))
}

#[cfg(test)]
mod tests;
