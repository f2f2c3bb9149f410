//! Which namespaces a container gets. One that is not listed is the guest's first, which the pod's containers share; the network's never is listed.
//! Main function: [`namespaces`].

use model::{IdRange, NamespaceOf, Namespaces, UserNamespace};
use oci_spec::{
    OciSpecError,
    runtime::{
        LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder,
        LinuxNamespaceType,
    },
};

use super::error::SpecificationError;

/// The list.
pub(super) fn namespaces(wanted: &Namespaces) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let own = NamespaceOf::Container;
    [
        (
            LinuxNamespaceType::Pid,
            wanted.pid == own && wanted.pid_target.is_none(),
        ),
        (LinuxNamespaceType::Ipc, wanted.ipc == own),
        (LinuxNamespaceType::Uts, wanted.uts == own),
        (LinuxNamespaceType::Mount, true),
        (LinuxNamespaceType::Cgroup, wanted.cgroup == own),
        (LinuxNamespaceType::User, wanted.user.is_some()),
    ]
    .into_iter()
    .filter(|(_, listed)| *listed)
    .map(|(typ, _)| LinuxNamespaceBuilder::default().typ(typ).build())
    .collect()
}

/// Whether the kernel can make a user namespace of these ranges.
///
/// # Errors
/// With the range that can't be.
pub fn check_user_namespace(user: &UserNamespace) -> Result<(), SpecificationError> {
    mappings(user).map(|_mappings| ())
}

/// The mappings of a user namespace: (uids, gids).
pub(super) fn mappings(
    user: &UserNamespace,
) -> Result<(LinuxIdMapping, LinuxIdMapping), SpecificationError> {
    Ok((mapping("uids", user.uids)?, mapping("gids", user.gids)?))
}

fn mapping(which: &'static str, range: IdRange) -> Result<LinuxIdMapping, SpecificationError> {
    let bad = |rule| SpecificationError::IdRange {
        which,
        first: range.container,
        length: range.length,
        rule,
    };
    if range.length == 0 {
        return Err(bad("the range is empty"));
    }
    if range.container != 0 {
        return Err(bad(
            "it has to begin with 0, the id that sets the container up",
        ));
    }
    // The last id, 2^32-1, means "no id" to the kernel.
    if range.guest.checked_add(range.length).is_none() {
        return Err(bad("it goes beyond the largest id"));
    }
    Ok(LinuxIdMappingBuilder::default()
        .container_id(range.container)
        .host_id(range.guest)
        .size(range.length)
        .build()?)
}

#[cfg(test)]
mod tests;
