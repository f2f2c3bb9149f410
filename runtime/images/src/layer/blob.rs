//! Lays file data out on blocks as it arrives, and EROFS metadata behind it at the end.
//!
//! Main type: [`BlobWriter`]. A blob is `[superblock | data of file after file | metadata]`, so that
//! one pass over the tar is enough and nothing but metadata is held in memory. Blocks of zeros are
//! not written: they stay holes of the blob's file.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

use super::LayerError;
use super::sparse::Piece;
use crate::digest::Digest;
use crate::erofs::plan::Plan;
use crate::erofs::{BLOCK_BYTES, ErofsError, write};
use crate::tree::{Data, DataLayout, HOLE, Tree};

/// A sparse file's map has at most this many chunks; the chunk size follows. Guests walk the map chunk by chunk to find where data goes
/// on (`erofs_iomap_begin` in `fs/erofs/data.c` tells of one at a time), so they are few: a walk over 4 GiB of holes is 4,096 steps.
const MOST_CHUNKS: u64 = 1 << 12;
/// Smallest chunk: 64 KiB. Smaller ones only make the guest's reads shorter; holes inside a chunk
/// take no disk space anyway.
const LEAST_CHUNK_BITS: u8 = 4;
const BUFFER_SIZE: usize = 128 << 10;

/// Bytes that can be written at any place; what is never written reads as zeros.
pub(crate) trait WriteAt {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn set_length(&mut self, length: u64) -> io::Result<()>;
}

impl WriteAt for File {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

impl WriteAt for Vec<u8> {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start
            .checked_add(bytes.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        if self.len() < end {
            self.resize(end, 0);
        }
        self[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        Ok(())
    }
}

pub(crate) struct BlobWriter<W> {
    out: W,
    /// First block that no file has.
    next_block: u64,
    /// Bytes really written, which is what fills the disk.
    stored: u64,
    buffer: Vec<u8>,
}

impl<W: WriteAt> BlobWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            next_block: 1,
            stored: 0,
            buffer: vec![0; BUFFER_SIZE],
        }
    }

    /// Stores a file of `size` bytes in one run of blocks. `watch` is asked after each buffer.
    pub(crate) fn flat(
        &mut self,
        reader: &mut impl Read,
        size: u64,
        watch: &mut dyn FnMut(u64) -> Result<(), LayerError>,
    ) -> Result<Data, LayerError> {
        let block = self.allocate(size)?;
        let start = u64::from(block) * BLOCK_BYTES;
        let mut done = 0;
        while done < size {
            let part = self.fill(reader, size - done)?;
            self.store(part, start + done)?;
            done += part as u64;
            watch(self.stored)?;
        }
        Ok(Data {
            size,
            segment: 0,
            layout: DataLayout::Flat(block),
        })
    }

    /// Stores a sparse file in chunks; a chunk gets blocks when the first byte that is not 0 arrives.
    pub(crate) fn sparse(
        &mut self,
        reader: &mut impl Read,
        size: u64,
        pieces: &[Piece],
        watch: &mut dyn FnMut(u64) -> Result<(), LayerError>,
    ) -> Result<Data, LayerError> {
        let block_bits = chunk_bits(size);
        let chunk_bytes = BLOCK_BYTES << block_bits;
        // At most `MOST_CHUNKS`, whatever the archive says.
        let count = usize::try_from(size.div_ceil(chunk_bytes)).unwrap_or(0);
        let mut chunks = vec![HOLE; count];
        for piece in pieces {
            let mut done = 0;
            while done < piece.length {
                let offset = piece.offset + done;
                let to_boundary = chunk_bytes - offset % chunk_bytes;
                let part = self.fill(reader, (piece.length - done).min(to_boundary))?;
                done += part as u64;
                let index = usize::try_from(offset / chunk_bytes).unwrap_or(usize::MAX);
                let chunk_start = offset - offset % chunk_bytes;
                let length = (size - chunk_start).min(chunk_bytes);
                // The pieces were checked against the size.
                let outside = LayerError::TooMuch {
                    what: "chunks of a file",
                    limit: MOST_CHUNKS,
                };
                let chunk = chunks.get_mut(index).ok_or(outside)?;
                self.store_in_chunk(chunk, length, part, offset - chunk_start)?;
                watch(self.stored)?;
            }
        }
        Ok(Data {
            size,
            segment: 0,
            layout: DataLayout::Chunked { block_bits, chunks },
        })
    }

    /// Writes the buffer's first `part` bytes into a chunk, unless they are zeros.
    fn store_in_chunk(
        &mut self,
        chunk: &mut u32,
        length: u64,
        part: usize,
        offset: u64,
    ) -> Result<(), LayerError> {
        if self.buffer[..part].iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if *chunk == HOLE {
            *chunk = self.allocate(length)?;
        }
        self.write_at(0..part, u64::from(*chunk) * BLOCK_BYTES + offset)
    }

    /// Writes the metadata and the superblock; gives the blob back and its length.
    pub(crate) fn finish(mut self, tree: &Tree, content: &Digest) -> Result<(W, u64), LayerError> {
        let plan = Plan::of(tree).map_err(LayerError::Erofs)?;
        let metadata_block = self.next_block;
        let blocks = metadata_block + plan.blocks();
        let superblock = write::superblock(&plan, (metadata_block, blocks), &[], content);
        let superblock = superblock.map_err(LayerError::Erofs)?;
        self.out
            .set_length(blocks * BLOCK_BYTES)
            .map_err(LayerError::Write)?;
        let addresses = write::Addresses {
            metadata: metadata_block,
            segments: &[0],
        };
        let appender = Appender {
            out: &mut self.out,
            offset: metadata_block * BLOCK_BYTES,
        };
        let mut appender = BufWriter::with_capacity(BUFFER_SIZE, appender);
        write::metadata(tree, &plan, &addresses, &mut appender).map_err(LayerError::Erofs)?;
        appender.flush().map_err(LayerError::Write)?;
        drop(appender);
        self.out
            .write_all_at(&superblock, 0)
            .map_err(LayerError::Write)?;
        Ok((self.out, blocks * BLOCK_BYTES))
    }

    /// Takes blocks for `bytes`. The address space of a blob ends at 2³² blocks.
    fn allocate(&mut self, bytes: u64) -> Result<u32, LayerError> {
        let block = self.next_block;
        let next = block + bytes.div_ceil(BLOCK_BYTES);
        if next >= u64::from(HOLE) {
            return Err(LayerError::Erofs(ErofsError::TooLarge {
                what: "blocks of a layer",
                value: next,
                limit: u64::from(HOLE) - 1,
            }));
        }
        self.next_block = next;
        // Below `next`, which fits.
        Ok(u32::try_from(block).unwrap_or(HOLE))
    }

    /// Reads up to a buffer, and all of `most` if that is less.
    fn fill(&mut self, reader: &mut impl Read, most: u64) -> Result<usize, LayerError> {
        let part = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        reader
            .read_exact(&mut self.buffer[..part])
            .map_err(LayerError::Read)?;
        Ok(part)
    }

    /// Writes the buffer's first `part` bytes but for blocks of zeros, neighbours together.
    fn store(&mut self, part: usize, offset: u64) -> Result<(), LayerError> {
        const BLOCK: usize = 4096;
        let mut run = 0..0;
        let mut start = 0;
        while start < part {
            let end = part.min(start + BLOCK);
            if self.buffer[start..end].iter().all(|byte| *byte == 0) {
                self.write_at(run, offset)?;
                run = end..end;
            } else {
                run.end = end;
            }
            start = end;
        }
        self.write_at(run, offset)
    }

    /// Writes this part of the buffer to its place in a region that starts at `offset`.
    fn write_at(&mut self, part: std::ops::Range<usize>, offset: u64) -> Result<(), LayerError> {
        if part.is_empty() {
            return Ok(());
        }
        self.stored += part.len() as u64;
        let at = offset + part.start as u64;
        self.out
            .write_all_at(&self.buffer[part], at)
            .map_err(LayerError::Write)
    }
}

fn chunk_bits(size: u64) -> u8 {
    let mut bits = LEAST_CHUNK_BITS;
    while size.div_ceil(BLOCK_BYTES << bits) > MOST_CHUNKS {
        bits += 1;
    }
    bits
}

/// Makes a stream of positioned writes.
struct Appender<'a, W> {
    out: &'a mut W,
    offset: u64,
}

impl<W: WriteAt> Write for Appender<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
