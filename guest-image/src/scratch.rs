//! The template of scratch disks: what of a disk is not zero. `scratch/template.rs` of the crate `pod` describes the form and reads it.
//! Main function: [`pack`].

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

const MAGIC: &[u8; 8] = b"CFDISK\0\x01";
const BLOCK: usize = 4096;
/// Most blocks in an extent.
const MAX_BLOCKS: usize = 256;

/// Writes what of `disk` is not zero. Holes are not read.
pub fn pack(disk: &File, mut out: impl Write) -> io::Result<()> {
    let size = disk.metadata()?.len();
    out.write_all(MAGIC)?;
    out.write_all(&size.to_le_bytes())?;
    let mut extent = Extent::default();
    let mut position = 0;
    while let Some((start, end)) = next_data(disk, position)? {
        let mut at = start - start % BLOCK as u64;
        while at < end {
            let mut block = [0; BLOCK];
            disk.read_exact_at(&mut block, at)?;
            if block.iter().any(|byte| *byte != 0) {
                extent.add(at, &block, &mut out)?;
            }
            at += BLOCK as u64;
        }
        position = at;
    }
    extent.flush(&mut out)?;
    out.flush()
}

/// The next range that is no hole.
fn next_data(disk: &File, position: u64) -> io::Result<Option<(u64, u64)>> {
    match seek(disk, SeekFrom::Data(position)) {
        Ok(start) => Ok(Some((start, seek(disk, SeekFrom::Hole(start))?))),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Blocks that follow each other, not written yet.
#[derive(Default)]
struct Extent {
    offset: u64,
    bytes: Vec<u8>,
}

impl Extent {
    fn add(&mut self, at: u64, block: &[u8; BLOCK], out: &mut impl Write) -> io::Result<()> {
        let follows = self.offset + self.bytes.len() as u64 == at;
        if !follows || self.bytes.len() == MAX_BLOCKS * BLOCK {
            self.flush(out)?;
            self.offset = at;
        }
        self.bytes.extend_from_slice(block);
        Ok(())
    }

    fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.bytes.len()).map_err(io::Error::other)?;
        out.write_all(&self.offset.to_le_bytes())?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
