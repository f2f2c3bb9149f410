//! Reads a file straight into guest memory, without a buffer between. Used by [`load`](super::load) for kernel and initrd.
#![expect(
    unsafe_code,
    reason = "pread writes through a pointer into the guest's mapping"
)]

use std::{fs::File, io, os::fd::AsRawFd};

use vm_memory::{GuestAddress, GuestMemoryBackend};

use crate::memory::GuestRam;

/// Reads exactly `bytes` bytes at `offset` of the file to a guest address. Leaves the descriptor's position alone.
pub(super) fn from_file(
    ram: &GuestRam,
    address: u64,
    file: &File,
    offset: u64,
    bytes: u64,
) -> io::Result<()> {
    let length = usize::try_from(bytes).map_err(io::Error::other)?;
    let slice = ram
        .get_slice(GuestAddress(address), length)
        .map_err(io::Error::other)?;
    let guard = slice.ptr_guard_mut();
    let mut done = 0;
    while done < length {
        let position = i64::try_from(offset)
            .ok()
            .zip(i64::try_from(done).ok())
            .and_then(|(offset, done)| offset.checked_add(done))
            .ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: done is less than the slice's length.
        let target = unsafe { guard.as_ptr().add(done) };
        // SAFETY: the range from `target` on for `length - done` bytes is inside the slice, which is guest memory that stays mapped
        // while the guard lives; nobody holds a reference into guest memory.
        let got = unsafe { libc::pread(file.as_raw_fd(), target.cast(), length - done, position) };
        match usize::try_from(got) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file ends before its end: it is truncated",
                ));
            }
            Ok(got) => done += got,
            Err(_negative) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
