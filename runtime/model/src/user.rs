//! Who a container's processes are. Main type: [`User`]. Names are looked up in the container's own /etc/passwd and /etc/group, by the
//! agent: the host never reads an image's files.

use serde::{Deserialize, Serialize};

/// A user as an image and Kubernetes name it: the first that is said of `name`, `uid`, `of_image`, root.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// `user[:group]`, names or numbers, as an image says it; empty is root.
    pub of_image: String,
    /// CRI `run_as_username`: a name or a number, without a group; empty is not said.
    pub name: String,
    /// CRI `run_as_user`. Nobody need know it: it may be without an entry in /etc/passwd.
    pub uid: Option<u32>,
    /// CRI `run_as_group`. Only beside `name` or `uid`; without it the group is that of the user's entry, or 0.
    pub gid: Option<u32>,
    /// CRI `supplemental_groups`: beside those that `groups` decides about.
    pub supplemental_groups: Vec<u32>,
    /// Which groups of the image's /etc/group the user gets.
    pub groups: GroupsOfImage,
}

/// Which of the groups that name the user as a member in the image's /etc/group it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupsOfImage {
    /// All, unless a group was named for it: docker's rule.
    #[default]
    UnlessGroupNamed,
    /// All: CRI's `Merge`.
    Merge,
    /// None: CRI's `Strict`.
    Strict,
}

impl User {
    /// What an image or a command line says.
    #[must_use]
    pub fn of_image(text: impl Into<String>) -> Self {
        Self {
            of_image: text.into(),
            ..Self::default()
        }
    }
}
