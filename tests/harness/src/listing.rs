//! A tree of files as text: a line for each file, in the order of the names' bytes, with all that an image says of it. Two
//! trees are compared by their lists, so each can be walked where only its own kernel is, by the program `list-tree`.
//! Main type: [`Listing`]; [`differences`] compares two lists.
//!
//! Not listed: link counts, which overlayfs does not keep for directories, nor for files whose other names an upper layer
//! hides. Instead a further name of one file says which was the first.

mod content;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxAttributes, StatxFlags};

/// Largest list of names, and largest value, of extended attributes (limits.h of Linux: XATTR_LIST_MAX, XATTR_SIZE_MAX).
const XATTR_BYTES: usize = 1 << 16;
/// The label that a machine's own security module gives all files, and no archive has.
const LABEL: &[u8] = b"security.selinux";
const TRUSTED: &[u8] = b"trusted.";

/// What becomes of the attributes that only CAP_SYS_ADMIN sees (xattr(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    Listed,
    /// For the comparison with a list that was made without that capability.
    LeftOut,
}

/// What to list.
#[derive(Clone, Debug)]
pub struct Listing {
    pub root: PathBuf,
    /// Paths below the root that are not looked at: where something else is mounted. A mount anywhere else is an error.
    pub left_out: Vec<PathBuf>,
    pub trusted: Trusted,
}

/// A walk that is under way.
struct Walk<'a, W> {
    listing: &'a Listing,
    out: W,
    /// The first name of each file that is no directory, by file system and inode number.
    first_names: HashMap<(u32, u32, u64), String>,
}

impl Listing {
    /// The whole tree below `root`.
    pub fn of(root: impl Into<PathBuf>) -> Listing {
        Listing {
            root: root.into(),
            left_out: Vec::new(),
            trusted: Trusted::Listed,
        }
    }

    /// Writes the list.
    pub fn write(&self, out: impl Write) -> Result<()> {
        let mut walk = Walk {
            listing: self,
            out,
            first_names: HashMap::new(),
        };
        walk.tree()?;
        walk.out.flush().context("write the list")
    }

    pub fn text(&self) -> Result<String> {
        let mut text = Vec::new();
        self.write(&mut text)?;
        String::from_utf8(text).context("the list is ASCII")
    }
}

impl<W: Write> Walk<'_, W> {
    fn tree(&mut self) -> Result<()> {
        let root = &self.listing.root;
        let about = stat(root).with_context(|| format!("list {}", root.display()))?;
        let mut pending = vec![(PathBuf::new(), about)];
        while let Some((path, stat)) = pending.pop() {
            let full = root.join(&path);
            let wrong = || format!("list {}", full.display());
            self.line(&path, &full, &stat).with_context(wrong)?;
            if kind(&stat) == FileType::Directory {
                pending.extend(self.children(&path, &full).with_context(wrong)?);
            }
        }
        Ok(())
    }

    /// The last name comes first: what is pending is taken from its end.
    fn children(&self, path: &Path, full: &Path) -> Result<Vec<(PathBuf, Statx)>> {
        let mut children = Vec::new();
        for entry in fs::read_dir(full)? {
            let entry = entry?;
            let child = path.join(entry.file_name());
            if self.listing.left_out.contains(&child) {
                continue;
            }
            let about = stat(&entry.path())?;
            ensure!(
                !is_mount(&about),
                "{} is a mount point: leave it out by name",
                entry.path().display()
            );
            let inode = kind(&about);
            let said = entry.file_type()?;
            // readdir's type of an entry stands in the directory, not in the inode.
            let agrees = match inode {
                FileType::RegularFile => said.is_file(),
                FileType::Directory => said.is_dir(),
                FileType::Symlink => said.is_symlink(),
                FileType::CharacterDevice => said.is_char_device(),
                FileType::BlockDevice => said.is_block_device(),
                FileType::Fifo => said.is_fifo(),
                FileType::Socket => said.is_socket(),
                FileType::Unknown => false,
            };
            ensure!(
                agrees,
                "the directory calls {} {said:?}, its inode says {inode:?}",
                child.display()
            );
            children.push((child, about));
        }
        children.sort_by(|(one, _), (other, _)| other.as_os_str().cmp(one.as_os_str()));
        let twice = children.windows(2).find(|two| two[0].0 == two[1].0);
        let twice = twice.map(|two| &two[0].0);
        ensure!(twice.is_none(), "the directory has {twice:?} twice");
        Ok(children)
    }

    /// Fields with a tab between them; bytes that would not show, tabs too, are escaped.
    fn line(&mut self, path: &Path, full: &Path, stat: &Statx) -> Result<()> {
        let name = format!("/{}", path.as_os_str().as_bytes().escape_ascii());
        let mut fields = vec![
            name.clone(),
            format!("{:06o}", stat.stx_mode),
            format!("{}:{}", stat.stx_uid, stat.stx_gid),
            format!("{}.{:09}", stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        ];
        fields.extend(xattrs(full, self.listing.trusted)?);
        if kind(stat) != FileType::Directory {
            let inode = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
            match self.first_names.get(&inode) {
                Some(first) => fields.push(format!("is {first}")),
                None => {
                    fields.extend(substance(full, stat)?);
                    self.first_names.insert(inode, name);
                }
            }
        }
        writeln!(self.out, "{}", fields.join("\t")).context("write the list")
    }
}

/// What the file holds or stands for; nothing for a pipe and a socket.
fn substance(full: &Path, stat: &Statx) -> Result<Option<String>> {
    Ok(match kind(stat) {
        FileType::RegularFile => {
            let size = stat.stx_size;
            let digest = content::digest(full, size)?;
            Some(format!("size {size} content {digest}"))
        }
        FileType::Symlink => {
            let target = fs::read_link(full).context("read the link")?;
            let target = target.as_os_str().as_bytes().escape_ascii();
            Some(format!("to {target}"))
        }
        FileType::CharacterDevice | FileType::BlockDevice => Some(format!(
            "device {}:{}",
            stat.stx_rdev_major, stat.stx_rdev_minor
        )),
        FileType::Fifo | FileType::Socket => None,
        other => bail!("{other:?} is no type of file"),
    })
}

fn stat(path: &Path) -> Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS).context("statx")
}

fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

/// By file system numbers it could not be told: overlayfs gives files the numbers of its layers (kernel documentation,
/// filesystems/overlayfs, "Inode properties").
fn is_mount(stat: &Statx) -> bool {
    stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

/// Names and values, sorted by name.
fn xattrs(full: &Path, trusted: Trusted) -> Result<Vec<String>> {
    let mut buffer = vec![0; XATTR_BYTES];
    let length = rustix::fs::llistxattr(full, &mut buffer[..]).context("llistxattr")?;
    let list = buffer.get(..length).unwrap_or_default().to_vec();
    let wanted = list.split(|byte| *byte == 0).filter(|name| {
        let left_out = trusted == Trusted::LeftOut && name.starts_with(TRUSTED);
        !name.is_empty() && *name != LABEL && !left_out
    });
    let mut found = BTreeMap::new();
    for name in wanted {
        let shown = name.escape_ascii().to_string();
        let length = rustix::fs::lgetxattr(full, CString::new(name)?, &mut buffer[..])
            .with_context(|| format!("lgetxattr {shown}"))?;
        let value = buffer.get(..length).unwrap_or_default();
        found.insert(name, format!("{shown}={}", value.escape_ascii()));
    }
    Ok(found.into_values().collect())
}

/// A line for each path whose line in one list is not that in the other; empty if the trees are equal.
pub fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let (ours, theirs) = (by_path(ours), by_path(theirs));
    let mut differences = Vec::new();
    for (path, fields) in &ours {
        match theirs.get(path) {
            None => differences.push(format!("{path}: only ours")),
            Some(other) if other != fields => {
                differences.push(format!("{path}: ours {fields}; theirs {other}"));
            }
            Some(_) => {}
        }
    }
    let only_theirs = theirs.keys().filter(|path| !ours.contains_key(*path));
    differences.extend(only_theirs.map(|path| format!("{path}: only theirs")));
    differences
}

fn by_path(list: &str) -> BTreeMap<&str, &str> {
    let split = |line| str::split_once(line, '\t').unwrap_or((line, ""));
    list.lines().map(split).collect()
}
