//! A digest of a file's content that does not depend on what of it is a hole: blocks of zeros do not count, and a hole is not
//! read where the kernel tells of it. Main function: [`digest`].

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

const BLOCK_BYTES: usize = 4096;
const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
/// Read at once; small enough for a processor's cache.
const CHUNK_BYTES: usize = 64 * BLOCK_BYTES;

/// Of the place and the bytes of each block that is not all zeros. The size belongs beside it.
pub(super) fn digest(path: &Path, size: u64) -> Result<String> {
    let file = File::open(path).context("open")?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while let Some(data) = next_data(&file, offset, size)? {
        let length = read(&file, &mut chunk, data).with_context(|| format!("read at {data}"))?;
        ensure!(length > 0, "it ends at {data}, and its size is {size}");
        offset = data;
        for block in chunk.get(..length).unwrap_or_default().chunks(BLOCK_BYTES) {
            if Some(block) != ZEROS.get(..block.len()) {
                hash.update(offset.to_le_bytes());
                hash.update(block);
            }
            offset += block.len() as u64;
        }
    }
    check_end(&file, size)?;
    let hex = hash.finalize();
    Ok(hex.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where data goes on, at the start of a block; `None` where nothing follows.
fn next_data(file: &File, offset: u64, size: u64) -> Result<Option<u64>> {
    if offset >= size {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data - data % BLOCK_BYTES as u64)),
        // Only a hole follows (lseek(2)).
        Err(Errno::NXIO) => Ok(None),
        // A file system that knows no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
        Err(errno) => Err(errno).context("look for data"),
    }
}

/// A reader finds the end where the size says that it is.
fn check_end(file: &File, size: u64) -> Result<()> {
    let mut byte = [0];
    let mut readable = |offset| -> Result<bool> { Ok(file.read_at(&mut byte, offset)? == 1) };
    let right = (size == 0 || readable(size - 1)?) && !readable(size)?;
    ensure!(right, "it does not end where its size says, at {size}");
    Ok(())
}

/// Fills the chunk, but for the file's end.
fn read(file: &File, chunk: &mut [u8], offset: u64) -> Result<usize> {
    let mut filled = 0;
    while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}
