//! The system calls for which no library has a safe wrapper: files by handle, name_to_handle_at(2) and open_by_handle_at(2). Main type:
//! [`Handle`]. Above: `escape`.
#![expect(unsafe_code, reason = "no library wraps the two calls")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

/// Most bytes that a handle has (MAX_HANDLE_SZ of include/linux/exportfs.h).
const MOST: u32 = 128;

/// struct file_handle, with room for the largest. Its bytes are the file system's, and may be changed as one likes: the kernel checks them.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Handle {
    length: u32,
    kind: i32,
    pub(crate) bytes: [u8; MOST as usize],
}

impl Handle {
    /// Of what is called `name` in the folder.
    pub(crate) fn of(folder: BorrowedFd<'_>, name: &CStr) -> Result<Handle> {
        let mut handle = Handle {
            length: MOST,
            kind: 0,
            bytes: [0; MOST as usize],
        };
        let mut mount = 0;
        // SAFETY: (1) the name ends with a zero byte, as its type says; (2) the handle has the layout of struct file_handle, and room for as
        // many bytes as its length says; (3) both pointers are to variables that outlive the call.
        let done = unsafe {
            libc::name_to_handle_at(
                folder.as_raw_fd(),
                name.as_ptr(),
                (&raw mut handle).cast(),
                &raw mut mount,
                0,
            )
        };
        match done {
            0 => Ok(handle),
            _ => Err(last_error()),
        }
    }

    /// Opens what it is of, on the file system of `mount`.
    pub(crate) fn open(&self, mount: BorrowedFd<'_>) -> Result<OwnedFd> {
        let mut handle = self.clone();
        let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: the handle has the layout of struct file_handle, is the caller's alone, and has the bytes that its length says.
        let opened =
            unsafe { libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut handle).cast(), flags) };
        if opened < 0 {
            return Err(last_error());
        }
        // SAFETY: the kernel gave this descriptor just now, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(opened) })
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
