//! Where a disk's bytes lie: one file, or parts of several files one after the other. Main type: [`Layout`]. Above: `serve`.
//!
//! An image is a disk of many segments: the merged EROFS metadata, then each layer's blob, which other images use too.

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileTypeExt,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{SeekFrom, seek};
use thiserror::Error;

/// What a segment's place and length are multiples of: EROFS's block, and the page.
pub const SEGMENT_ALIGNMENT: u64 = 4096;

/// A part of a file.
#[derive(Debug)]
pub struct Segment {
    /// A regular file or a block device.
    pub file: File,
    /// Where the part starts in it. A multiple of [`SEGMENT_ALIGNMENT`].
    pub offset: u64,
    /// Bytes of it. A multiple of [`SEGMENT_ALIGNMENT`], not zero.
    pub length: u64,
}

/// Segments one after the other, as a disk.
#[derive(Debug)]
pub struct Layout {
    /// With the place of each on the disk, in order and without gaps: one ends where the next begins.
    placed: Vec<(u64, Segment)>,
    /// Where the last one ends. It only grows, and no other data follows from it: relaxed order is enough.
    length: AtomicU64,
}

/// A part of a transfer that lies in one segment.
#[derive(Debug)]
pub struct Part<'a> {
    /// The segment's file.
    pub file: &'a File,
    /// Where in the file.
    pub position: u64,
    /// Which bytes of the transfer.
    pub range: Range<u64>,
}

/// Why segments don't make a disk.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// A disk of nothing.
    #[error("make a disk of no segments")]
    Empty,
    /// See [`SEGMENT_ALIGNMENT`].
    #[error(
        "place segment {index}: offset {offset} and length {length} are not multiples of {unit} above 0"
    )]
    Alignment {
        /// Which one.
        index: usize,
        /// Its place in the file.
        offset: u64,
        /// Its length.
        length: u64,
        /// What they have to be multiples of.
        unit: u64,
    },
    /// The file ends before the segment.
    #[error("place segment {index}: it ends at {end}, its file at {file_length}")]
    PastEnd {
        /// Which one.
        index: usize,
        /// Its end in the file.
        end: u64,
        /// The file's end.
        file_length: u64,
    },
    /// More than a disk can have.
    #[error("sum up the segments' lengths: past 2^63 bytes")]
    TooLong,
    /// Something else than a regular file or a block device.
    #[error("use segment {index}: it is neither a regular file nor a block device")]
    FileKind {
        /// Which one.
        index: usize,
    },
    /// The file can't be asked.
    #[error("find the length of segment {index}'s file")]
    Length {
        /// Which one.
        index: usize,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl Layout {
    /// Puts segments one after the other.
    ///
    /// # Errors
    /// When one is misplaced, or ends after its file.
    pub fn new(segments: Vec<Segment>) -> Result<Self, LayoutError> {
        let mut placed = Vec::with_capacity(segments.len());
        let mut length = 0_u64;
        for (index, segment) in segments.into_iter().enumerate() {
            check(index, &segment, SEGMENT_ALIGNMENT)?;
            let start = length;
            let end = start.checked_add(segment.length);
            // File offsets are signed, and so are the guest's.
            length = end
                .filter(|end| i64::try_from(*end).is_ok())
                .ok_or(LayoutError::TooLong)?;
            placed.push((start, segment));
        }
        if placed.is_empty() {
            return Err(LayoutError::Empty);
        }
        let length = length.into();
        Ok(Self { placed, length })
    }

    /// The first `length` bytes of one file, whose length is a multiple of `unit` instead of [`SEGMENT_ALIGNMENT`]: nothing comes after it.
    ///
    /// # Errors
    /// When it has no such length.
    pub fn whole(file: File, length: u64, unit: u64) -> Result<Self, LayoutError> {
        let offset = 0;
        let segment = Segment {
            file,
            offset,
            length,
        };
        check(0, &segment, unit)?;
        Ok(Self {
            placed: vec![(offset, segment)],
            length: length.into(),
        })
    }

    /// Bytes of the disk.
    pub fn length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    /// Lets a disk of one file have all of the file, in whole blocks of `unit` bytes. Its length then; one that is not larger changes nothing.
    ///
    /// # Errors
    /// When the file can't be asked.
    pub(super) fn grow(&self, unit: u64) -> Result<u64, LayoutError> {
        let [(_, segment)] = self.placed.as_slice() else {
            return Ok(self.length());
        };
        let end = file_length(0, &segment.file)?;
        if i64::try_from(end).is_err() {
            return Err(LayoutError::TooLong);
        }
        let there = end.saturating_sub(segment.offset);
        let whole = there - there % unit;
        self.length.fetch_max(whole, Ordering::Relaxed);
        Ok(whole)
    }

    /// Splits a transfer at segment borders. `None` when it goes past the end.
    pub fn parts(&self, start: u64, length: u64) -> Option<impl Iterator<Item = Part<'_>>> {
        let whole = self.length();
        let end = start.checked_add(length).filter(|end| *end <= whole)?;
        let after = self.placed.partition_point(|(place, _)| *place <= start);
        let touched = self.placed.get(after.saturating_sub(1)..);
        let touched = touched.unwrap_or_default().iter();
        let touched = touched.take_while(move |(place, _)| *place < end);
        let ends = self.placed.get(after..).unwrap_or_default().iter();
        let ends = ends.map(|(place, _)| *place).chain([whole]);
        // A transfer of nothing touches nothing.
        let touched = touched.take_while(move |_| start < end);
        Some(touched.zip(ends).map(move |((place, segment), ends)| {
            let from = start.max(*place);
            let to = end.min(ends);
            Part {
                file: &segment.file,
                position: segment.offset + (from - place),
                range: from - start..to - start,
            }
        }))
    }

    /// Each file of the disk, for what concerns all of it.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.placed.iter().map(|(_, segment)| &segment.file)
    }
}

fn check(index: usize, segment: &Segment, unit: u64) -> Result<(), LayoutError> {
    let Segment {
        ref file,
        offset,
        length,
    } = *segment;
    let aligned = |value: u64| value.is_multiple_of(unit);
    if !aligned(offset) || !aligned(length) || length == 0 {
        return Err(LayoutError::Alignment {
            index,
            offset,
            length,
            unit,
        });
    }
    let file_length = file_length(index, file)?;
    let end = offset.checked_add(length).ok_or(LayoutError::TooLong)?;
    if end > file_length {
        return Err(LayoutError::PastEnd {
            index,
            end,
            file_length,
        });
    }
    Ok(())
}

fn file_length(index: usize, file: &File) -> Result<u64, LayoutError> {
    let failed = |source| LayoutError::Length { index, source };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    if !metadata.file_type().is_block_device() {
        return Err(LayoutError::FileKind { index });
    }
    // A block device's size is where its end is.
    seek(file, SeekFrom::End(0)).map_err(|error| failed(error.into()))
}
