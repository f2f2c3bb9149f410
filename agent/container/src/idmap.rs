//! Mounts whose owners are seen through the pod's user namespace: what root owns below, the namespace's root owns there, and what it
//! makes is root's below (mount_setattr(2), MOUNT_ATTR_IDMAP). Main function: [`map_owners`]. Used by agentd for images and volumes.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use libcontainer::syscall::{
    Syscall, SyscallError,
    linux::{AT_EMPTY_PATH, LinuxSyscall, MountAttr},
};
use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};

use crate::user_namespace::UserNamespace;

/// linux/mount.h.
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// Mounts at `target` what is at `source`, for the containers of that namespace. The two may be the same: it is mounted over then. Blocks.
///
/// # Errors
/// EINVAL where the file system, or the kernel, knows no such mounts.
pub fn map_owners(source: &Path, target: &Path, user: &UserNamespace) -> io::Result<()> {
    let namespace = File::open(&user.path)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, source, flags)?;
    let attributes = MountAttr {
        attr_set: MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?,
    };
    // Before anybody can see the mount: afterwards the kernel refuses.
    set(&tree, &attributes)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(&tree, "", CWD, target, flags)?)
}

fn set(tree: impl AsFd, attributes: &MountAttr) -> io::Result<()> {
    let size = size_of::<MountAttr>();
    LinuxSyscall
        .mount_setattr(tree.as_fd(), Path::new(""), AT_EMPTY_PATH, attributes, size)
        .map_err(|error| match error {
            SyscallError::Nix(errno) => errno.into(),
            other => io::Error::other(other),
        })
}
