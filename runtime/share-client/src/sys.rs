//! The system call of this crate that neither rustix nor nix wraps: mount_setattr(2). Main function: [`set_attributes`].
#![expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Which mounts of a tree are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The topmost.
    Top,
    /// All.
    All,
}

/// What is set on a mount, as libc names it: MOUNT_ATTR_* and MS_SLAVE or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) propagation: u64,
}

/// Sets attributes on the mounts of a tree that a descriptor of open_tree(2) holds. All of them, or none.
pub(crate) fn set_attributes(
    tree: BorrowedFd<'_>,
    reach: Reach,
    attributes: Attributes,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: attributes.set,
        attr_clr: 0,
        propagation: attributes.propagation,
        userns_fd: 0,
    };
    let flags = match reach {
        Reach::Top => libc::AT_EMPTY_PATH,
        Reach::All => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    // SAFETY: (1) the descriptor is open; (2) the path is a constant that ends with 0; (3) the call reads one mount_attr of the given
    // size, which lives through the call, and writes nothing.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            mem::size_of::<libc::mount_attr>(),
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
