//! Compares two mounted trees file by file: kind, content, owner, mode, time, attributes, links.
//!
//! Not compared: link counts of directories, which overlayfs does not keep, and of files whose other
//! names an upper layer hides; instead, names of one file on one side must be names of one file on
//! the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

type Inodes = BTreeMap<(u64, u64), BTreeSet<PathBuf>>;

/// A line for each difference; empty if there is none.
pub(crate) fn trees(ours: &Path, theirs: &Path) -> Vec<String> {
    let mut differences = Vec::new();
    let (mut our_inodes, mut their_inodes) = (Inodes::new(), Inodes::new());
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let (left, right) = (ours.join(&path), theirs.join(&path));
        let (left_meta, right_meta) = (metadata(&left), metadata(&right));
        for (aspect, ours, theirs) in aspects(&left, &left_meta, &right, &right_meta) {
            if ours != theirs {
                let name = path.as_os_str().as_bytes().escape_ascii();
                differences.push(format!("/{name}: {aspect}: ours {ours}, tar's {theirs}"));
            }
        }
        if left_meta.is_dir() && right_meta.is_dir() {
            let (left, right) = (names(&left), names(&right));
            for name in left.difference(&right) {
                differences.push(format!("/{}: only ours", path.join(name).display()));
            }
            for name in right.difference(&left) {
                differences.push(format!("/{}: only tar's", path.join(name).display()));
            }
            pending.extend(left.intersection(&right).map(|name| path.join(name)));
        } else {
            let inode = |metadata: &Metadata| (metadata.dev(), metadata.ino());
            our_inodes
                .entry(inode(&left_meta))
                .or_default()
                .insert(path.clone());
            their_inodes
                .entry(inode(&right_meta))
                .or_default()
                .insert(path);
        }
    }
    let groups = |inodes: Inodes| inodes.into_values().collect::<BTreeSet<_>>();
    let (our_groups, their_groups) = (groups(our_inodes), groups(their_inodes));
    for group in our_groups.symmetric_difference(&their_groups) {
        differences.push(format!("hard links differ: {group:?}"));
    }
    differences
}

/// How many files a tree has, itself included.
pub(crate) fn count(root: &Path) -> usize {
    let mut count = 0;
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        count += 1;
        if metadata(&path).is_dir() {
            pending.extend(names(&path).into_iter().map(|name| path.join(name)));
        }
    }
    count
}

fn metadata(path: &Path) -> Metadata {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names(path: &Path) -> BTreeSet<OsString> {
    fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect()
}

fn aspects(
    left: &Path,
    left_meta: &Metadata,
    right: &Path,
    right_meta: &Metadata,
) -> Vec<(&'static str, String, String)> {
    let pair = |aspect, of: &dyn Fn(&Path, &Metadata) -> String| {
        (aspect, of(left, left_meta), of(right, right_meta))
    };
    let mut aspects = vec![
        pair("type and mode", &|_, metadata| {
            format!("{:o}", metadata.mode())
        }),
        pair("owner", &|_, metadata| {
            format!("{}:{}", metadata.uid(), metadata.gid())
        }),
        pair("mtime", &|_, metadata| {
            format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec())
        }),
        pair("attributes", &|path, _| attributes(path)),
    ];
    let file_type = left_meta.file_type();
    if file_type.is_block_device() || file_type.is_char_device() {
        aspects.push(pair("device", &|_, metadata| {
            format!("{:x}", metadata.rdev())
        }));
    }
    if file_type.is_symlink() && right_meta.is_symlink() {
        aspects.push(pair("target", &|path, _| {
            format!("{:?}", fs::read_link(path).unwrap())
        }));
    }
    if file_type.is_file() && right_meta.is_file() {
        aspects.push(pair("size", &|_, metadata| metadata.len().to_string()));
        let difference = first_difference(left, right);
        aspects.push((
            "content",
            difference.clone(),
            difference.replace("differs", "is"),
        ));
    }
    aspects
}

/// Empty if the files are equal. What is a hole in both is not read.
fn first_difference(left: &Path, right: &Path) -> String {
    let open = |path: &Path| File::open(path).unwrap();
    let (left, right) = (open(left), open(right));
    let size = left
        .metadata()
        .unwrap()
        .len()
        .max(right.metadata().unwrap().len());
    let (mut left_part, mut right_part) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut offset = 0;
    while offset < size {
        offset = next_data(&left, offset).min(next_data(&right, offset));
        if offset >= size {
            break;
        }
        let read = fill(&left, offset, &mut left_part);
        let right_read = fill(&right, offset, &mut right_part);
        if left_part[..read] != right_part[..right_read] {
            return format!("differs in the MiB at {offset}");
        }
        offset += read.max(1) as u64;
    }
    String::new()
}

/// Where data goes on; behind the end if nothing but a hole follows.
fn next_data(file: &File, offset: u64) -> u64 {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)).unwrap_or(u64::MAX >> 1)
}

fn fill(file: &File, offset: u64, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < buffer.len() {
        match file
            .read_at(&mut buffer[filled..], offset + filled as u64)
            .unwrap()
        {
            0 => break,
            read => filled += read,
        }
    }
    filled
}

fn attributes(path: &Path) -> String {
    let mut buffer = vec![0; 1 << 16];
    let size = rustix::fs::llistxattr(path, &mut buffer[..]).unwrap();
    let list = buffer[..size].to_vec();
    let mut found: Vec<String> = Vec::new();
    for name in list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        // This machine's own label of all files, which no archive has.
        if name == b"security.selinux" {
            continue;
        }
        let name_text = std::ffi::CString::new(name).unwrap();
        let size = rustix::fs::lgetxattr(path, &*name_text, &mut buffer[..]);
        let value = size.map_or_else(
            |errno| format!("unreadable ({errno})"),
            |size| buffer[..size].escape_ascii().to_string(),
        );
        found.push(format!("{}={value}", name.escape_ascii()));
    }
    found.sort();
    found.join(", ")
}
