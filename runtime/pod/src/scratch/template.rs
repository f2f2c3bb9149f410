//! The template of scratch disks: what of an empty file system is not zero, so that a disk of many GiB is a file of some hundred KiB that
//! every tool copies. `pack-scratch-template` of `guest-image` writes it. Main function: [`copy`].
//!
//! ```text
//! "CFDISK" 0 1      magic and version
//! size:u64          of the disk, in bytes
//! extent …          offset:u64 length:u32 and as many bytes; ascending, apart, up to the end of the file
//! ```
//!
//! All integers are little endian; sizes, offsets and lengths are multiples of 4096. What no extent holds is zero.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use thiserror::Error;

const MAGIC: [u8; 8] = *b"CFDISK\0\x01";

/// Everything is a multiple of it.
const BLOCK_BYTES: u64 = 4096;

/// Largest extent, in bytes.
const MAX_EXTENT_BYTES: u32 = 1 << 20;

/// Largest disk, in bytes.
const MAX_DISK_BYTES: u64 = 1 << 44;

/// A template that can't be used.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The kernel refused.
    #[error("{attempt}")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Another file.
    #[error("it is no template: it does not begin with CFDISK, version 1")]
    NotOurs,
    /// A size of no disk.
    #[error(
        "its disk has {size} bytes; a disk has a multiple of {BLOCK_BYTES}, at most {MAX_DISK_BYTES}"
    )]
    Size {
        /// What it says.
        size: u64,
    },
    /// An extent outside the disk, out of order, or of no length that there is.
    #[error("its extent of {length} bytes at {offset} is not right")]
    Extent {
        /// Where it begins.
        offset: u64,
        /// Its length.
        length: u32,
    },
}

fn io_error(attempt: &'static str) -> impl FnOnce(io::Error) -> TemplateError {
    move |source| TemplateError::Io { attempt, source }
}

/// Makes an empty file a disk as the template has it. Gives its size in bytes.
pub(crate) fn copy(template: &Path, disk: &File) -> Result<u64, TemplateError> {
    let mut template = io::BufReader::new(File::open(template).map_err(io_error("open it"))?);
    let mut head = [0; 16];
    template
        .read_exact(&mut head)
        .map_err(io_error("read its head"))?;
    let (magic, size) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(TemplateError::NotOurs);
    }
    let size = size.try_into().map_or(0, u64::from_le_bytes);
    if size == 0 || size % BLOCK_BYTES != 0 || size > MAX_DISK_BYTES {
        return Err(TemplateError::Size { size });
    }
    disk.set_len(size).map_err(io_error("size the disk"))?;
    let mut end = 0;
    let mut bytes = Vec::new();
    while let Some((offset, length)) = next_extent(&mut template)? {
        let wrong = || TemplateError::Extent { offset, length };
        let fits = offset
            .checked_add(length.into())
            .is_some_and(|past| past <= size);
        let whole = offset % BLOCK_BYTES == 0 && u64::from(length) % BLOCK_BYTES == 0;
        if !fits || !whole || offset < end || length == 0 || length > MAX_EXTENT_BYTES {
            return Err(wrong());
        }
        bytes.resize(usize::try_from(length).map_err(|_huge| wrong())?, 0);
        template
            .read_exact(&mut bytes)
            .map_err(io_error("read an extent"))?;
        disk.write_all_at(&bytes, offset)
            .map_err(io_error("write the disk"))?;
        end = offset.saturating_add(length.into());
    }
    Ok(size)
}

/// None at the end of the file.
fn next_extent(template: &mut impl Read) -> Result<Option<(u64, u32)>, TemplateError> {
    let mut offset = [0; 8];
    let mut length = [0; 4];
    let mut first = [0];
    let attempt = "read the head of an extent";
    if template.read(&mut first).map_err(io_error(attempt))? == 0 {
        return Ok(None);
    }
    let [lowest, rest @ ..] = &mut offset;
    [*lowest] = first;
    template.read_exact(rest).map_err(io_error(attempt))?;
    template
        .read_exact(&mut length)
        .map_err(io_error(attempt))?;
    Ok(Some((
        u64::from_le_bytes(offset),
        u32::from_le_bytes(length),
    )))
}

#[cfg(test)]
mod tests;
