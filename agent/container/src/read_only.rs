//! Paths of a container that can't be written to, with all that is mounted below them. Main function: [`make`]. In the container, before its
//! process loses what it takes.

use std::{io, path::Path};

use libcontainer::syscall::{
    Syscall, SyscallError,
    linux::{LinuxSyscall, MountAttr},
};
use rustix::{io::Errno, mount::mount_bind_recursive};

use crate::failure::Failure;

/// mount_setattr(2).
const RDONLY: u64 = 1;

/// Makes them so, if they are there.
pub(crate) fn make(paths: &[String]) -> Result<(), Failure> {
    for path in paths {
        make_one(Path::new(path))
            .map_err(|error| Failure::internal(&format!("make {path} read-only"), &error))?;
    }
    Ok(())
}

/// A mount of its own, whose other flags stay as they are below.
fn make_one(path: &Path) -> io::Result<()> {
    match mount_bind_recursive(path, path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        bound => bound?,
    }
    let attributes = MountAttr {
        attr_set: RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let recursive = libc::AT_RECURSIVE.cast_unsigned();
    let size = size_of::<MountAttr>();
    LinuxSyscall
        .mount_setattr(rustix::fs::CWD, path, recursive, &attributes, size)
        .map_err(|error| match error {
            SyscallError::Nix(errno) => errno.into(),
            other => io::Error::other(other),
        })
}
