//! Files inside a container's root, reached without ever leaving it: links in the root, absolute ones too, lead inside (openat2(2),
//! RESOLVE_IN_ROOT). For what the agent does on a container's behalf before the container runs.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, mkdirat, open, openat2, unlinkat,
};
use rustix::io::Errno;

use crate::failure::{Failure, FailureKind};

const STAY_INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Opens a file inside `root` for reading.
pub(crate) fn file(root: &Path, path: &Path) -> io::Result<File> {
    let root = folder(root)?;
    // NONBLOCK: a fifo that an image has there must not make us wait.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(openat2(&root, path, flags, Mode::empty(), STAY_INSIDE)?.into())
}

/// Makes sure that `path`, a container's working directory, is a folder inside `root`; what is missing of it is made, as runc does, for this
/// user and group if they are not the caller's.
pub(crate) fn working_directory(
    root: &Path,
    path: &Path,
    owner: Option<(u32, u32)>,
) -> Result<(), Failure> {
    make_folders(root, path, owner).map_err(|error| Failure {
        kind: FailureKind::Precondition,
        message: format!(
            "the working directory {} can't be used: {error}",
            path.display()
        ),
    })
}

/// Takes a link that leads nowhere out of the way of a mount, whose point libcontainer would not make through it: images have
/// /etc/resolv.conf as a link into a /run that they do not have.
pub(crate) fn remove_broken_link(root: &Path, path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let root = folder(root)?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match openat2(&root, path, flags, Mode::empty(), STAY_INSIDE) {
        Err(Errno::NOENT) => {}
        _ => return Ok(()),
    }
    let flags = flags | OFlags::DIRECTORY;
    let unlinked = openat2(&root, parent, flags, Mode::empty(), STAY_INSIDE)
        .and_then(|parent| unlinkat(&parent, name, AtFlags::empty()));
    match unlinked {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn make_folders(root: &Path, path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let root = folder(root)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut so_far = PathBuf::from("/");
    for component in path.components() {
        let Component::Normal(name) = component else {
            continue;
        };
        let parent = openat2(&root, &so_far, flags, Mode::empty(), STAY_INSIDE)?;
        so_far.push(name);
        // From the root each time: a link on the way is followed inside.
        match openat2(&root, &so_far, flags, Mode::empty(), STAY_INSIDE) {
            Ok(_there) => {}
            Err(Errno::NOENT) => {
                mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                let (uid, gid) = owner.unzip();
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn folder(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(root, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests;
