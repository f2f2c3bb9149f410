//! From a path of the host to a mount in a server's root. Main functions: [`clone`], [`attach`] and [`detach`]. Above: `server`.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fstat, open},
    mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount},
};
use thiserror::Error;

use crate::{
    server::Access,
    sys::{self, Attributes, Reach},
};

/// What a server never needs of a share: devices and symbolic links are the guest's to follow, programs the guest's to run.
const NEVER: u64 = libc::MOUNT_ATTR_NODEV
    | libc::MOUNT_ATTR_NOSUID
    | libc::MOUNT_ATTR_NOEXEC
    | libc::MOUNT_ATTR_NOSYMFOLLOW;

/// Why a share's mount is not where it should be.
#[derive(Debug, Error)]
pub enum MountError {
    /// Nothing is there, or it can't be reached.
    #[error("find {path} on the host")]
    Find {
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Neither a folder nor a file.
    #[error("share {path}: it is {kind}, and only folders and regular files can be shared")]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The kernel refused.
    #[error("{attempt} for the share of {path}; the kernel needs the mount calls of Linux 5.14")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// The host's path, or the name in the server's tree.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// What can be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
}

/// A part of the host's tree, detached from it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) kind: Kind,
    mount: OwnedFd,
}

/// Clones what a path names, with all that is mounted below it. What the host mounts there later appears in the clone too; nothing
/// that happens to the clone reaches the host.
pub(crate) fn clone(path: &Path, access: Access) -> Result<Tree, MountError> {
    let find = |errno: rustix::io::Errno| MountError::Find {
        path: path.to_owned(),
        source: errno.into(),
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = open(path, flags, Mode::empty()).map_err(find)?;
    let kind = kind(path, &place)?;
    let recursive = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(&place, "", recursive);
    let mount = mount.map_err(|errno| refused("clone the mount", path)(errno.into()))?;
    restrict(&mount, access).map_err(refused("restrict the mount", path))?;
    Ok(Tree { kind, mount })
}

fn kind(path: &Path, place: &OwnedFd) -> Result<Kind, MountError> {
    let stat = fstat(place).map_err(|errno| refused("look at the file", path)(errno.into()))?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Ok(Kind::Folder),
        FileType::RegularFile => return Ok(Kind::File),
        FileType::Socket => "a socket",
        FileType::Fifo => "a pipe",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        _ => "of an unknown kind",
    };
    Err(MountError::Kind {
        path: path.to_owned(),
        kind,
    })
}

fn restrict(mount: &OwnedFd, access: Access) -> io::Result<()> {
    let all = Attributes {
        set: NEVER,
        propagation: libc::MS_SLAVE,
    };
    sys::set_attributes(mount.as_fd(), Reach::All, all)?;
    let reach = match access {
        Access::Writable => return Ok(()),
        Access::ReadOnly => Reach::Top,
        Access::RecursiveReadOnly => Reach::All,
    };
    let read_only = Attributes {
        set: libc::MOUNT_ATTR_RDONLY,
        propagation: 0,
    };
    sys::set_attributes(mount.as_fd(), reach, read_only)
}

/// Moves a tree onto a mount point of the server.
pub(crate) fn attach(server: BorrowedFd<'_>, tree: &Tree, place: &Path) -> Result<(), MountError> {
    inside(server, || {
        let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(move_mount(&tree.mount, "", CWD, place, by_descriptor)?)
    })
    .map_err(refused("move the mount into the server's root", place))
}

/// Takes what is mounted there off the server's mount point. Nothing there is fine.
pub(crate) fn detach(server: BorrowedFd<'_>, place: &Path) -> Result<(), MountError> {
    inside(server, || {
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        match unmount(place, flags) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    })
    .map_err(refused("take the mount out of the server's root", place))
}

/// Does something in the server's mount namespace, on a thread that ends with it: none of ours shall see another root.
fn inside(server: BorrowedFd<'_>, deed: impl FnOnce() -> io::Result<()> + Send) -> io::Result<()> {
    thread::scope(|scope| {
        let visit = move || {
            // A thread can only change its root when it shares it with no other.
            unshare(CloneFlags::CLONE_FS)?;
            setns(server, CloneFlags::CLONE_NEWNS)?;
            deed()
        };
        let visitor = thread::Builder::new()
            .name("share-mount".to_owned())
            .spawn_scoped(scope, visit)?;
        let panicked = |_| Err(io::Error::other("the mounting thread panicked"));
        visitor.join().unwrap_or_else(panicked)
    })
}

fn refused(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MountError {
    move |source| MountError::Refused {
        attempt,
        path: path.to_owned(),
        source,
    }
}
