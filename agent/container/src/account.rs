//! Who "user[:group]" is, as an image's configuration has it: looked up in the container's own /etc/passwd and /etc/group, never in
//! the guest's. The rules are docker's and CRI's. Main function: [`settle`].

use std::{
    io::{self, Read},
    path::Path,
};

use oci_spec::runtime::Process;

use crate::{failure::Failure, inside};

/// Largest /etc/passwd or /etc/group that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// What the lookup came to.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
    additional_gids: Vec<u32>,
}

/// Replaces `process.user.username` by the numbers that it stands for in the container at `root`.
pub(crate) fn settle(process: &mut Process, root: &Path) -> Result<(), Failure> {
    let mut user = process.user().clone();
    let Some(wanted) = user.username().clone().filter(|wanted| !wanted.is_empty()) else {
        return Ok(());
    };
    let passwd = read(root, "/etc/passwd")?;
    let group = read(root, "/etc/group")?;
    let account = look_up(&wanted, &passwd, &group)?;
    user.set_uid(account.uid)
        .set_gid(account.gid)
        .set_additional_gids(Some(account.additional_gids))
        .set_username(None);
    process.set_user(user);
    Ok(())
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

fn look_up(wanted: &str, passwd: &str, group: &str) -> Result<Account, Failure> {
    let (user, group_wanted) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let entry = entries(passwd).find(|fields| fields.first() == Some(&user));
    let number = user.parse::<u32>().ok();
    let entry = entry.or_else(|| {
        let number = number?;
        entries(passwd).find(|fields| field_number(fields, 2) == Some(number))
    });
    let uid = entry
        .as_ref()
        .and_then(|fields| field_number(fields, 2))
        .or(number);
    let unknown = |kind: &str, name: &str, file: &str| {
        Failure::invalid(format!(
            "there is no {kind} {name:?} in the container's {file}"
        ))
    };
    let uid = uid.ok_or_else(|| unknown("user", user, "/etc/passwd"))?;
    if let Some(name) = group_wanted {
        let gid = entries(group)
            .find(|fields| fields.first() == Some(&name))
            .and_then(|fields| field_number(&fields, 2))
            .or_else(|| name.parse().ok());
        let gid = gid.ok_or_else(|| unknown("group", name, "/etc/group"))?;
        return Ok(Account {
            uid,
            gid,
            additional_gids: Vec::new(),
        });
    }
    let Some(entry) = entry else {
        return Ok(Account {
            uid,
            gid: 0,
            additional_gids: Vec::new(),
        });
    };
    let name = entry.first().copied().unwrap_or_default();
    let member = |fields: &Vec<&str>| {
        fields
            .get(3)
            .is_some_and(|members| members.split(',').any(|member| member == name))
    };
    Ok(Account {
        uid,
        gid: field_number(&entry, 3).unwrap_or(0),
        additional_gids: entries(group)
            .filter(member)
            .filter_map(|fields| field_number(&fields, 2))
            .collect(),
    })
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
