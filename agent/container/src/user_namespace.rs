//! A user namespace of the pod's: which ids of the guest its ids are, and where the kernel shows it. Main types: [`IdMappings`], what is
//! asked for, and [`UserNamespace`], one that is there. Below `pod_namespaces`, which makes it; beside `identity` and `idmap`.

use std::{fmt::Write, path::PathBuf};

use oci_spec::runtime::{LinuxIdMapping, User};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Lines of a map that the kernel takes (user_namespaces(7)).
const MOST_LINES: usize = 340;

/// Ids that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    /// The first in the container.
    pub container: u32,
    /// What that is in the guest.
    pub guest: u32,
    pub length: u32,
}

/// Users and groups of a user namespace, each list checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMappings {
    uids: Vec<IdMapping>,
    gids: Vec<IdMapping>,
}

/// A user namespace that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// Where the kernel shows it.
    pub(crate) path: PathBuf,
    pub(crate) mappings: IdMappings,
}

impl IdMappings {
    /// Checks what the kernel would answer with no more than EINVAL.
    ///
    /// # Errors
    /// Of kind `Invalid`, with the range that can't be.
    pub fn checked(uids: Vec<IdMapping>, gids: Vec<IdMapping>) -> Result<Self, Failure> {
        check("uids", &uids)?;
        check("gids", &gids)?;
        Ok(Self { uids, gids })
    }

    /// What the namespace's root is in the guest: user and group.
    #[must_use]
    pub fn root(&self) -> (u32, u32) {
        // Both are mapped: see `check`.
        let of = |map| in_guest(map, 0).unwrap_or_default();
        (of(&self.uids), of(&self.gids))
    }

    /// As `/proc/PID/uid_map` and `gid_map` take them.
    pub(crate) fn texts(&self) -> (String, String) {
        (text(&self.uids), text(&self.gids))
    }

    /// Whether a specification's lists say the same.
    pub(crate) fn equal(&self, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> bool {
        let same = |ours: &[IdMapping], theirs: &[LinuxIdMapping]| {
            let theirs = theirs.iter().map(|one| IdMapping {
                container: one.container_id(),
                guest: one.host_id(),
                length: one.size(),
            });
            ours.iter().copied().eq(theirs)
        };
        same(&self.uids, uids) && same(&self.gids, gids)
    }

    /// What a user is in the guest.
    ///
    /// # Errors
    /// Of kind `Invalid`, with the id that the namespace does not have.
    pub(crate) fn user(&self, user: &User) -> Result<u32, Failure> {
        let groups = user.additional_gids().iter().flatten().copied();
        for gid in groups.chain([user.gid()]) {
            in_guest(&self.gids, gid).ok_or_else(|| missing("group", gid))?;
        }
        in_guest(&self.uids, user.uid()).ok_or_else(|| missing("user", user.uid()))
    }
}

impl UserNamespace {
    /// What its root is in the guest: user and group.
    #[must_use]
    pub fn root(&self) -> (u32, u32) {
        self.mappings.root()
    }
}

fn check(which: &str, ranges: &[IdMapping]) -> Result<(), Failure> {
    if ranges.len() > MOST_LINES {
        return Err(Failure::invalid(format!(
            "the user namespace has {} ranges of {which}, the kernel takes {MOST_LINES}",
            ranges.len()
        )));
    }
    for (number, range) in ranges.iter().enumerate() {
        let bad = |rule: &str| {
            let IdMapping {
                container,
                guest,
                length,
            } = range;
            Failure::invalid(format!(
                "the user namespace's {which} {container} to {guest}, {length} of them, can't be mapped: {rule}"
            ))
        };
        if range.length == 0 {
            return Err(bad("the range is empty"));
        }
        // The last id, 2^32-1, means "no id" to the kernel.
        let ends = [range.container, range.guest].map(|first| first.checked_add(range.length));
        if ends.contains(&None) {
            return Err(bad("it goes beyond the largest id"));
        }
        let others = ranges.get(number + 1..).unwrap_or_default();
        if others.iter().any(|other| overlap(range, other)) {
            return Err(bad("another range has some of its ids"));
        }
    }
    match in_guest(ranges, 0) {
        Some(_root) => Ok(()),
        None => Err(Failure::invalid(format!(
            "the user namespace's {which} don't have 0, the id that sets containers up"
        ))),
    }
}

/// Neither may say twice what an id is, on either side.
fn overlap(one: &IdMapping, other: &IdMapping) -> bool {
    let common = |first: u32, second: u32| {
        let (low, high, length) = match first <= second {
            true => (first, second, one.length),
            false => (second, first, other.length),
        };
        high - low < length
    };
    common(one.container, other.container) || common(one.guest, other.guest)
}

fn in_guest(ranges: &[IdMapping], id: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.container)?;
        (offset < range.length).then(|| range.guest.saturating_add(offset))
    })
}

fn text(ranges: &[IdMapping]) -> String {
    let mut text = String::new();
    for range in ranges {
        let IdMapping {
            container,
            guest,
            length,
        } = range;
        // Into a string: it can't fail.
        writeln!(text, "{container} {guest} {length}").ok();
    }
    text
}

fn missing(what: &str, id: u32) -> Failure {
    Failure::invalid(format!(
        "the {what} {id} is not mapped in the pod's user namespace"
    ))
}

#[cfg(test)]
mod tests;
