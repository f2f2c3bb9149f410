//! What only ioctl(2) asks of a block device of the host. Main function: [`discard`]. Above: `virtio`'s disks, whose thread calls it.
#![expect(unsafe_code, reason = "ioctl(2) on a block device")]

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use libc::c_ulong;

/// _IO(0x12, 119), as numbered in include/uapi/linux/fs.h.
const DISCARD: c_ulong = 0x1277;

/// Tells a block device that the content of a range is not needed any more. What it reads as afterwards is the device's choice. Both
/// numbers are multiples of its logical block.
///
/// # Errors
/// When it takes no discards, the range is not its own, or it is not open for writing.
pub fn discard(device: BorrowedFd<'_>, start: u64, length: u64) -> io::Result<()> {
    let range = [start, length];
    // SAFETY: (1) the descriptor is open for the call; (2) BLKDISCARD reads two u64 (block/ioctl.c, blk_ioctl_discard), and `range` is
    // two of them, live for the call; (3) nothing is written through the pointer: the number is of _IO, without a direction.
    let returned = unsafe { libc::ioctl(device.as_raw_fd(), DISCARD, range.as_ptr()) };
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
