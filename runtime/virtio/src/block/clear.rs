//! Clears a range of a disk's file. Main function: [`clear`]. Above: `serve`, which has found the range good.

use std::{fs::File, io, os::fd::AsFd};

use machine::block_device;
use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::{Storage, request::Clearing};

/// Clears `length` bytes from `position` on.
pub(super) fn clear(
    file: &File,
    (position, length): (u64, u64),
    clearing: Clearing,
    storage: Storage,
) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let zeroes = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    let cleared = match (storage, clearing) {
        (Storage::BlockDevice(_), Clearing::Discard) => {
            return block_device::discard(file.as_fd(), position, length);
        }
        // On a block device both write zeroes (block/fops.c, blkdev_fallocate). A hole may unmap, and is refused where the device has to
        // be sent them.
        (Storage::BlockDevice(_), Clearing::Hole) => {
            match fallocate(file, hole, position, length) {
                Err(Errno::OPNOTSUPP) => fallocate(file, zeroes, position, length),
                done => done,
            }
        }
        (Storage::BlockDevice(_), Clearing::Zeroes) => fallocate(file, zeroes, position, length),
        (Storage::Files, Clearing::Discard | Clearing::Hole) => {
            fallocate(file, hole, position, length)
        }
        // A hole reads as zeroes too; tmpfs can make only that.
        (Storage::Files, Clearing::Zeroes) => match fallocate(file, zeroes, position, length) {
            Err(Errno::OPNOTSUPP) => fallocate(file, hole, position, length),
            done => done,
        },
    };
    Ok(cleared?)
}
