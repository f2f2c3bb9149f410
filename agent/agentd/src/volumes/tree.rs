//! A volume's tree as it comes from the host: entries, checked, and written one by one. Main type: [`Entry`]. A link of the tree never leads
//! the writing anywhere: parents are opened beneath the tree's root and without following links (openat2(2)).

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use agent::agent::{VolumeEntry, volume_entry::Kind as WireKind};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fchmod, fstat, mkdirat,
    openat, openat2, symlinkat,
};

use crate::fault::Fault;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// One file, folder or link.
#[derive(PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative, of plain names; empty for the tree itself.
    pub(super) path: PathBuf,
    owner: (Uid, Gid),
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Folder(Mode),
    File(Mode, Vec<u8>),
    /// More of a file that has been written.
    More(Vec<u8>),
    Link(String),
}

/// Checks what the host sent.
pub(super) fn parse(entries: Vec<VolumeEntry>) -> Result<Vec<Entry>, Fault> {
    entries.into_iter().map(Entry::parse).collect()
}

/// A path in a volume.
pub(super) fn checked_path(text: &str) -> Result<PathBuf, Fault> {
    let path = Path::new(text);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain || text.contains('\0') {
        return Err(Fault::invalid(format!(
            "{text:?} is no path in a volume: it is relative, without . and .."
        )));
    }
    Ok(path.to_owned())
}

impl Entry {
    fn parse(entry: VolumeEntry) -> Result<Self, Fault> {
        let path = checked_path(&entry.path)?;
        let mode = Mode::from_raw_mode(entry.mode & 0o7777);
        let refused = |what: &str| Err(Fault::invalid(format!("entry {path:?} {what}")));
        let kind = match entry.kind.enum_value() {
            Ok(WireKind::FOLDER) => Kind::Folder(mode),
            Ok(_) if entry.path.is_empty() => return refused("is the volume, and no folder"),
            Ok(WireKind::FILE) if entry.append => Kind::More(entry.content),
            Ok(WireKind::FILE) => Kind::File(mode, entry.content),
            Ok(WireKind::LINK) if entry.target.is_empty() || entry.target.contains('\0') => {
                return refused("is a link to nothing");
            }
            Ok(WireKind::LINK) => Kind::Link(entry.target),
            Err(number) => return refused(&format!("has the unknown kind {number}")),
        };
        // u32::MAX would leave the owner as it is (chown(2)).
        if entry.uid == u32::MAX || entry.gid == u32::MAX {
            return refused("has no owner");
        }
        Ok(Self {
            path,
            owner: (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)),
            kind,
        })
    }

    pub(super) fn content_bytes(&self) -> usize {
        match &self.kind {
            Kind::File(_, content) | Kind::More(content) => content.len(),
            Kind::Folder(_) | Kind::Link(_) => 0,
        }
    }
}

/// Writes one entry of the tree at `root`.
pub(super) fn write(root: &Path, entry: &Entry) -> io::Result<()> {
    let (Some(parent), Some(name)) = (entry.path.parent(), entry.path.file_name()) else {
        let Kind::Folder(mode) = &entry.kind else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let root = File::open(root)?;
        return own(&root, entry.owner, *mode);
    };
    let parent = folder(root, parent)?;
    match &entry.kind {
        Kind::Folder(mode) => {
            mkdirat(&parent, name, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            own(
                openat(&parent, name, flags, Mode::empty())?,
                entry.owner,
                *mode,
            )
        }
        Kind::File(mode, content) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut file = File::from(openat(&parent, name, flags, Mode::RUSR)?);
            file.write_all(content)?;
            own(&file, entry.owner, *mode)
        }
        Kind::More(content) => {
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&parent, name, flags, Mode::empty())?);
            file.write_all(content)
        }
        Kind::Link(target) => {
            symlinkat(target, &parent, name)?;
            let (uid, gid) = entry.owner;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            Ok(chownat(&parent, name, Some(uid), Some(gid), flags)?)
        }
    }
}

/// Opens a regular file of the tree at `root` for reading.
pub(super) fn open_file(root: &Path, path: &Path) -> io::Result<File> {
    let root = folder(root, Path::new(""))?;
    // NONBLOCK: a fifo that a container has put there must not make us wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat2(&root, path, flags, Mode::empty(), BENEATH)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file.into())
}

/// The mode after the owner, whose change takes bits away.
fn own(file: impl AsFd, (uid, gid): (Uid, Gid), mode: Mode) -> io::Result<()> {
    rustix::fs::fchown(&file, Some(uid), Some(gid))?;
    Ok(fchmod(&file, mode)?)
}

fn folder(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    if path.as_os_str().is_empty() {
        return Ok(root);
    }
    Ok(openat2(&root, path, flags, Mode::empty(), BENEATH)?)
}
