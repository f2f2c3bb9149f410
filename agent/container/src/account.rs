//! Who "user[:group]" is, as an image's configuration has it: looked up in the container's own /etc/passwd and /etc/group, never in
//! the guest's. The rules are docker's and CRI's. Main type: [`SettledUser`].

use std::{
    io::{self, Read},
    path::Path,
};

use oci_spec::runtime::{Process, User};
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, inside};

/// Largest /etc/passwd or /etc/group that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Which of the groups that name the user as a member it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Groups {
    /// All, unless a group was named: docker's rule.
    #[default]
    UnlessNamed,
    /// All: CRI's `Merge`.
    Merge,
    /// None: CRI's `Strict`.
    Strict,
}

/// Who a process is, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Each once.
    pub additional_gids: Vec<u32>,
}

/// A container's user: as it was asked for, and who that was when the container was started. An exec as the same user gets the same numbers,
/// whatever has become of the container's files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SettledUser {
    wanted: User,
    settled: User,
    groups: Groups,
}

impl SettledUser {
    pub(crate) fn settle(
        process: &mut Process,
        root: &Path,
        groups: Groups,
    ) -> Result<Self, Failure> {
        let wanted = process.user().clone();
        settle(process, root, groups)?;
        Ok(Self {
            wanted,
            settled: process.user().clone(),
            groups,
        })
    }

    /// Who its first process is.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            uid: self.settled.uid(),
            gid: self.settled.gid(),
            additional_gids: self.settled.additional_gids().clone().unwrap_or_default(),
        }
    }

    /// For one more process of the container.
    pub(crate) fn apply(&self, process: &mut Process, root: &Path) -> Result<(), Failure> {
        if *process.user() == self.wanted {
            process.set_user(self.settled.clone());
            return Ok(());
        }
        settle(process, root, self.groups)
    }
}

/// Where the user's home is, as the container's /etc/passwd has it.
pub(crate) fn home(root: &Path, uid: u32) -> Result<Option<String>, Failure> {
    let passwd = read(root, "/etc/passwd")?;
    let found = entries(&passwd).find(|fields| field_number(fields, 2) == Some(uid));
    Ok(found.and_then(|fields| fields.get(5).map(|home| (*home).to_owned())))
}

/// What the lookup came to.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
    /// Those that name the user as a member; none where docker's rule is not to look.
    memberships: Vec<u32>,
    group_named: bool,
}

/// Replaces `process.user.username` by the numbers that it stands for in the container at `root`, and completes its groups.
fn settle(process: &mut Process, root: &Path, groups: Groups) -> Result<(), Failure> {
    let mut user = process.user().clone();
    let wanted = user.username().clone().unwrap_or_default();
    let account = if wanted.is_empty() {
        Account {
            uid: user.uid(),
            gid: user.gid(),
            memberships: Vec::new(),
            group_named: true,
        }
    } else {
        let passwd = read(root, "/etc/passwd")?;
        let group = read(root, "/etc/group")?;
        look_up(&wanted, &passwd, &group)?
    };
    let given = user.additional_gids().clone().unwrap_or_default();
    let all = all_groups(&account, &given, groups);
    user.set_uid(account.uid)
        .set_gid(account.gid)
        .set_additional_gids(Some(all))
        .set_username(None);
    process.set_user(user);
    Ok(())
}

/// CRI's rules have the user's own group among the others, as login has it; docker's has not. Each is there once.
fn all_groups(account: &Account, given: &[u32], rule: Groups) -> Vec<u32> {
    let own = (rule != Groups::UnlessNamed).then_some(account.gid);
    let memberships = match rule {
        Groups::Merge => account.memberships.as_slice(),
        Groups::UnlessNamed if !account.group_named => account.memberships.as_slice(),
        _ => &[],
    };
    let mut all = Vec::new();
    for gid in own.iter().chain(memberships).chain(given) {
        if !all.contains(gid) {
            all.push(*gid);
        }
    }
    all
}

/// The file's lines; a file that is missing has none.
fn read(root: &Path, path: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = inside::file(root, Path::new(path))
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(count) if u64::try_from(count).unwrap_or(u64::MAX) <= MAX_BYTES => {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Ok(_) => Err(Failure::invalid(format!(
            "the container's {path} is larger than {MAX_BYTES} bytes"
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => {
            let attempt = format!("read the container's {path}");
            Err(Failure::internal(&attempt, &error))
        }
    }
}

/// A number is a number, whatever names the image's files have: else an image could say who user 1000 is.
fn look_up(wanted: &str, passwd: &str, group: &str) -> Result<Account, Failure> {
    let (user, group_wanted) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let unknown = |kind: &str, name: &str, file: &str| {
        Failure::invalid(format!(
            "there is no {kind} {name:?} in the container's {file}"
        ))
    };
    let number = user.parse::<u32>().ok();
    let entry = entries(passwd).find(|fields| match number {
        Some(number) => field_number(fields, 2) == Some(number),
        None => fields.first() == Some(&user),
    });
    let of_entry = |index| field_number(entry.as_ref()?, index);
    let uid = number
        .or_else(|| of_entry(2))
        .ok_or_else(|| unknown("user", user, "/etc/passwd"))?;
    let gid = match group_wanted {
        Some(name) => group_number(name, group).ok_or_else(|| unknown("group", name, "/etc/group")),
        None => Ok(of_entry(3).unwrap_or(0)),
    }?;
    let name = entry.as_ref().and_then(|fields| fields.first().copied());
    let member = |fields: &Vec<&str>| {
        let members = fields.get(3).copied().unwrap_or_default();
        name.is_some_and(|name| members.split(',').any(|member| member == name))
    };
    Ok(Account {
        uid,
        gid,
        memberships: entries(group)
            .filter(member)
            .filter_map(|fields| field_number(&fields, 2))
            .collect(),
        group_named: group_wanted.is_some(),
    })
}

fn group_number(name: &str, group: &str) -> Option<u32> {
    let named = |fields: &Vec<&str>| fields.first() == Some(&name);
    name.parse()
        .ok()
        .or_else(|| field_number(&entries(group).find(named)?, 2))
}

fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split(':').collect())
}

fn field_number(fields: &[&str], index: usize) -> Option<u32> {
    fields.get(index)?.parse().ok()
}

#[cfg(test)]
mod tests;
