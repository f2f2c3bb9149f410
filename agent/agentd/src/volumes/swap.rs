//! Replaces a volume's tree as the kubelet replaces that of a ConfigMap, Secret or projected volume on the host (its AtomicWriter). Main
//! function: [`swap`]. Who reads a file through `..data` sees the old tree or the new one; who watches the volume sees `..data` moved over.
//!
//! A container may write to the volume if its mount is not read-only, so nothing of the old tree is trusted: names are renamed and removed, never followed.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs,
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, lchown, symlink},
    },
    path::{Component, Path},
};

use super::gone;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Puts the tree at `new` in the place of the one at `content`, if both have a `..data`; else nothing changes. What is left of `new` is the caller's.
pub(super) fn swap(content: &Path, new: &Path) -> io::Result<()> {
    let Some(next) = data(new)? else {
        return Ok(());
    };
    let Some(old) = data(content)? else {
        return Ok(());
    };
    if next == old {
        return Ok(());
    }
    copy_attributes(new, content)?;
    let place = content.join(&next);
    gone(fs::remove_dir_all(&place))?;
    fs::rename(new.join(&next), place)?;
    let link = content.join(DATA_NEW);
    gone(fs::remove_file(&link))?;
    symlink(&next, &link)?;
    fs::rename(&link, content.join(DATA))?;
    let names = shown(new)?;
    show(&names, content, new)?;
    hide_others(&names, content)?;
    gone(fs::remove_dir_all(content.join(&old)))
}

/// Whether the tree has a `..data`, and so may be replaced.
pub(super) fn is_swapped(content: &Path) -> bool {
    fs::read_link(content.join(DATA)).is_ok()
}

/// Where `..data` leads to: a folder beside it whose name begins with two dots.
fn data(tree: &Path) -> io::Result<Option<OsString>> {
    let target = match fs::read_link(tree.join(DATA)) {
        // It is none of these volumes.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            return Ok(None);
        }
        target => target?,
    };
    let mut parts = target.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) if is_hidden(name) && name != DATA => {
            Ok(Some(name.to_owned()))
        }
        _ => Err(io::Error::other(
            "..data does not lead to a folder beside it",
        )),
    }
}

/// Names that the new tree shows.
fn shown(new: &Path) -> io::Result<HashSet<OsString>> {
    let mut names = HashSet::new();
    for entry in fs::read_dir(new)? {
        let name = entry?.file_name();
        if !is_hidden(&name) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Puts links beside `..data` that are new or other than they were.
fn show(names: &HashSet<OsString>, content: &Path, new: &Path) -> io::Result<()> {
    for name in names {
        let (from, to) = (new.join(name), content.join(name));
        let wanted = fs::read_link(&from)?;
        if fs::read_link(&to).is_ok_and(|there| there == wanted) {
            continue;
        }
        fs::rename(from, to)?;
    }
    Ok(())
}

/// Removes links into `..data` of names that are not shown any more.
fn hide_others(names: &HashSet<OsString>, content: &Path) -> io::Result<()> {
    for entry in fs::read_dir(content)? {
        let name = entry?.file_name();
        let link = content.join(&name);
        let into_data = fs::read_link(&link).is_ok_and(|target| target.starts_with(DATA));
        if into_data && !is_hidden(&name) && !names.contains(&name) {
            gone(fs::remove_file(link))?;
        }
    }
    Ok(())
}

fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    let about = fs::metadata(from)?;
    lchown(to, Some(about.uid()), Some(about.gid()))?;
    fs::set_permissions(to, about.permissions())
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"..")
}
