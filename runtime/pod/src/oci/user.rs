//! Who the process is, as the agent takes it: `user[:group]` to be looked up in the container, groups beside it, and the rule for the image's own
//! groups as an annotation (proto/agent/agent.proto, StartContainerRequest). Main function: [`user`].

use model::{GroupsOfImage, User};
use oci_spec::runtime::{User as OciUser, UserBuilder};

use super::error::SpecificationError;

/// Says which groups of the image the user gets; without it the agent follows docker's rule.
const GROUPS_ANNOTATION: &str = "cofferdam.agent.groups";

/// The user of a process.
pub(super) fn user(user: &User) -> Result<OciUser, SpecificationError> {
    let text = text(user)?;
    let mut oci = UserBuilder::default().uid(0_u32).gid(0_u32);
    if !user.supplemental_groups.is_empty() {
        oci = oci.additional_gids(user.supplemental_groups.clone());
    }
    // Root has groups in an image, too, and only the agent can look.
    let groups = user.groups == GroupsOfImage::Merge;
    match (text.is_empty(), groups) {
        (true, false) => {}
        (true, true) => oci = oci.username("0"),
        (false, _) => oci = oci.username(text),
    }
    Ok(oci.build()?)
}

/// The annotation's name and value, where it is needed.
pub(super) fn annotation(user: &User) -> Option<(String, String)> {
    let value = match user.groups {
        GroupsOfImage::UnlessGroupNamed => return None,
        GroupsOfImage::Merge => "merge",
        GroupsOfImage::Strict => "strict",
    };
    Some((GROUPS_ANNOTATION.to_owned(), value.to_owned()))
}

fn text(user: &User) -> Result<String, SpecificationError> {
    if user.name.contains([':', '\0']) {
        return Err(SpecificationError::UserName {
            name: user.name.clone(),
        });
    }
    let who = match user.uid {
        _ if !user.name.is_empty() => user.name.clone(),
        Some(uid) => uid.to_string(),
        None => String::new(),
    };
    match user.gid {
        Some(gid) if who.is_empty() => Err(SpecificationError::GroupWithoutUser { gid }),
        Some(gid) => Ok(format!("{who}:{gid}")),
        None if who.is_empty() => Ok(user.of_image.clone()),
        None => Ok(who),
    }
}

#[cfg(test)]
mod tests;
