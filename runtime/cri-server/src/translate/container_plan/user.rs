//! Who a container is. Main function: [`user`]. The guest looks names up, in the image's own files.

use cri::v1::{LinuxContainerSecurityContext, SupplementalGroupsPolicy};
use model::{GroupsOfImage, User};

use super::ImageSettings;
use crate::translate::refusal::Refusal;

/// The user that is asked for, or the image's.
pub(super) fn user(
    security: &LinuxContainerSecurityContext,
    image: &ImageSettings,
) -> Result<User, Refusal> {
    let name = &security.run_as_username;
    if security.run_as_user.is_some() && !name.is_empty() {
        return Err(Refusal::invalid(
            "at most one of run_as_user and run_as_username can be set",
        ));
    }
    let id = |field: &str, value: Option<i64>| value.map(|id| number(field, id)).transpose();
    let groups = security.supplemental_groups.iter();
    let groups = groups.map(|group| number("supplemental_groups", *group));
    Ok(User {
        of_image: image.user().clone().unwrap_or_default(),
        name: name.clone(),
        uid: id(
            "run_as_user",
            security.run_as_user.as_ref().map(|id| id.value),
        )?,
        gid: id(
            "run_as_group",
            security.run_as_group.as_ref().map(|id| id.value),
        )?,
        supplemental_groups: groups.collect::<Result<_, _>>()?,
        groups: match security.supplemental_groups_policy() {
            SupplementalGroupsPolicy::Merge => GroupsOfImage::Merge,
            SupplementalGroupsPolicy::Strict => GroupsOfImage::Strict,
        },
    })
}

/// An id as Linux has it: 32 bits, of which the last value means none (setresuid(2)).
fn number(field: &str, value: i64) -> Result<u32, Refusal> {
    match u32::try_from(value) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Refusal::invalid(format!(
            "{field} {value} is no id of Linux"
        ))),
    }
}
