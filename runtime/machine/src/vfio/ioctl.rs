//! ioctl(2) on the descriptors of VFIO and iommufd. Main functions: [`give`], for a request with a number or nothing, and [`ask`], for one with
//! a structure. Above: `container`, `kernel`.
#![expect(unsafe_code, reason = "ioctl(2)")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use libc::Ioctl;
use vfio_bindings::bindings::vfio::{VFIO_BASE, VFIO_TYPE};

/// VFIO's requests are all _IO(VFIO_TYPE, VFIO_BASE + number).
pub(super) const fn request(number: u32) -> Ioctl {
    ((VFIO_TYPE as Ioctl) << 8) | (VFIO_BASE + number) as Ioctl
}

/// What a structure says that it is long.
pub(super) fn bytes_of<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

/// For requests whose argument is a number, or nothing.
pub(super) fn give(fd: BorrowedFd<'_>, request: Ioctl, number: u64) -> io::Result<i32> {
    // SAFETY: the requests that this is used for take no pointer.
    answer(unsafe { libc::ioctl(fd.as_raw_fd(), request, number) })
}

/// # Safety
/// `argument` is what the request takes: it lives through the call and is as large as the request reads or writes.
pub(super) unsafe fn ask<T>(
    fd: BorrowedFd<'_>,
    request: Ioctl,
    argument: *mut T,
) -> io::Result<i32> {
    // SAFETY: the caller's promise.
    answer(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) })
}

fn answer(returned: i32) -> io::Result<i32> {
    match returned {
        0.. => Ok(returned),
        _ => Err(io::Error::last_os_error()),
    }
}
