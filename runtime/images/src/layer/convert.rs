//! Reads one packed layer to its end: unpacks, checks, builds the tree, writes the blob.
//!
//! [`convert`] reads like the list of its steps. Nothing it returns is to be kept unless it returns
//! `Ok`: digests are known only at the end. Above: `store`'s import and the fuzz target.

use std::cell::Cell;
use std::io::{self, Read};

use super::blob::{BlobWriter, WriteAt};
use super::build::{Builder, Slot};
use super::tar::{Entry, EntryKind, Skip, TarReader};
use super::unpack::{Packing, unpack};
use super::{EntryProblem, LayerError, LayerLimits, printable};
use crate::digest::{Digest, HashingReader};
use crate::limits;
use crate::tree::{Content, Directory, Metadata, Node};

/// A packed layer and what is promised about it.
#[derive(Debug)]
pub(crate) struct LayerStream<R> {
    pub(crate) packed: R,
    /// The descriptor's digest and size; a docker archive has none.
    pub(crate) promised: Option<(Digest, u64)>,
    /// The media type's word; a docker archive has none.
    pub(crate) label: Option<Packing>,
    /// Digest of the unpacked tar, from the image configuration.
    pub(crate) diff_id: Digest,
}

/// A blob that is written and right.
#[derive(Debug)]
pub(crate) struct Converted<W> {
    pub(crate) blob: W,
    pub(crate) length: u64,
}

/// Converts a layer into `out`. `progress` gets the packed bytes read until now.
pub(crate) fn convert<R: Read, W: WriteAt>(
    layer: LayerStream<R>,
    out: W,
    limits: LayerLimits,
    progress: &mut dyn FnMut(u64),
) -> Result<Converted<W>, LayerError> {
    let packed_count = Cell::new(0);
    let most = layer
        .promised
        .map_or(u64::MAX, |(_, size)| size.saturating_add(1));
    let counted = Counted {
        inner: layer.packed.take(most),
        count: &packed_count,
    };
    let mut packed = HashingReader::new(counted);
    let (packing, unpacked) = unpack(&mut packed, layer.label)?;
    let unpacked = HashingReader::new(Limited {
        inner: unpacked,
        left: limits.bytes,
    });
    let conversion = Conversion {
        tar: TarReader::new(Unpacked { inner: unpacked }),
        blob: BlobWriter::new(out),
        builder: Builder::new(limits),
        limits,
        entries: 0,
        file_bytes: 0,
        packed_count: &packed_count,
        progress,
    };
    let read = conversion.read_all();
    let (got, builder, blob) = read.map_err(|error| name_read_error(error, packing, limits))?;
    check_promises(packed, layer.promised)?;
    if got != layer.diff_id {
        return Err(LayerError::Digest {
            form: "unpacked",
            expected: layer.diff_id,
            got,
        });
    }
    let (blob, length) = blob.finish(&builder.finish()?, &layer.diff_id)?;
    Ok(Converted { blob, length })
}

struct Conversion<'a, R, W> {
    tar: TarReader<R>,
    blob: BlobWriter<W>,
    builder: Builder,
    limits: LayerLimits,
    entries: u64,
    /// Sizes of all files until now, holes included.
    file_bytes: u64,
    packed_count: &'a Cell<u64>,
    progress: &'a mut dyn FnMut(u64),
}

impl<R: Read, W: WriteAt> Conversion<'_, Unpacked<R>, W> {
    /// Reads the stream to its very end, for the digest.
    fn read_all(mut self) -> Result<(Digest, Builder, BlobWriter<W>), LayerError> {
        self.run()?;
        let mut unpacked = self.tar.into_inner().inner;
        io::copy(&mut unpacked, &mut io::sink()).map_err(LayerError::Read)?;
        let (digest, _) = unpacked.finish();
        Ok((digest, self.builder, self.blob))
    }
}

impl<R: Skip, W: WriteAt> Conversion<'_, R, W> {
    fn run(&mut self) -> Result<(), LayerError> {
        while let Some(entry) = self.tar.next()? {
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(LayerError::TooMuch {
                    what: "entries",
                    limit: self.limits.entries,
                });
            }
            self.entry(entry)?;
            (self.progress)(self.packed_count.get());
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), LayerError> {
        let slot = self.builder.place(&entry.path)?;
        if matches!(slot, Slot::Done) {
            return Ok(());
        }
        let refuse = |problem| {
            Err(LayerError::Entry {
                path: printable(&entry.path),
                problem,
            })
        };
        let content = match entry.kind {
            EntryKind::HardLink => return self.builder.link(slot, &entry.link, &entry.path),
            EntryKind::Directory => Content::Directory(Directory::default()),
            EntryKind::Symlink if entry.link.is_empty() || entry.link.contains(&0) => {
                return refuse(EntryProblem::BadText("the symlink's target"));
            }
            EntryKind::Symlink if entry.link.len() > limits::SYMLINK_BYTES => {
                let limit = limits::SYMLINK_BYTES;
                return refuse(EntryProblem::TooLong {
                    what: "the symlink's target",
                    limit,
                });
            }
            EntryKind::Symlink => Content::Symlink(entry.link.as_slice().into()),
            EntryKind::Regular
                if matches!(
                    slot,
                    Slot::Name {
                        directory: None,
                        ..
                    }
                ) =>
            {
                self.regular(&entry)?
            }
            EntryKind::Regular if matches!(slot, Slot::Root) => return refuse(EntryProblem::Root),
            EntryKind::Regular => return refuse(EntryProblem::Duplicate),
            // What overlayfs takes for a whiteout in a layer is one here too.
            EntryKind::CharDevice if entry.device.major == 0 && entry.device.minor == 0 => {
                Content::Whiteout
            }
            EntryKind::CharDevice => Content::CharDevice(entry.device),
            EntryKind::BlockDevice => Content::BlockDevice(entry.device),
            EntryKind::Fifo => Content::Fifo,
        };
        if let Content::CharDevice(device) | Content::BlockDevice(device) = &content
            && crate::erofs::format::encode_device(*device).is_err()
        {
            return refuse(EntryProblem::Range("the device number"));
        }
        let metadata = Metadata {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            seconds: entry.seconds,
            nanoseconds: entry.nanoseconds,
            xattrs: entry.xattrs,
        };
        self.builder
            .insert(slot, Node { metadata, content }, &entry.path)
    }

    fn regular(&mut self, entry: &Entry) -> Result<Content, LayerError> {
        if entry.size > self.limits.file_bytes {
            return Err(LayerError::Entry {
                path: printable(&entry.path),
                problem: EntryProblem::Range("the size"),
            });
        }
        self.file_bytes = self.file_bytes.saturating_add(entry.size);
        if self.file_bytes > self.limits.bytes {
            return Err(LayerError::TooMuch {
                what: "bytes in files",
                limit: self.limits.bytes,
            });
        }
        let Self {
            tar,
            blob,
            limits,
            packed_count,
            progress,
            ..
        } = self;
        let mut watch = |stored| {
            let packed = packed_count.get();
            progress(packed);
            if stored > limits.bomb_floor_bytes && stored / limits.bomb_ratio > packed {
                return Err(LayerError::Bomb { stored, packed });
            }
            Ok(())
        };
        let data = match &entry.pieces {
            None => blob.flat(tar, entry.size, &mut watch),
            Some(pieces) => blob.sparse(tar, entry.size, pieces, &mut watch),
        };
        Ok(Content::Regular(data?))
    }
}

/// A read that failed inside the tar: a limit, or the unpacker found damage.
fn name_read_error(error: LayerError, packing: Packing, limits: LayerLimits) -> LayerError {
    match error {
        LayerError::Read(source)
            if source
                .get_ref()
                .is_some_and(|inner| inner.is::<OverLimit>()) =>
        {
            LayerError::TooMuch {
                what: "bytes unpacked",
                limit: limits.bytes,
            }
        }
        LayerError::Read(source) => LayerError::Unpack { packing, source },
        other => other,
    }
}

fn check_promises<R: Read>(
    mut packed: HashingReader<R>,
    promised: Option<(Digest, u64)>,
) -> Result<(), LayerError> {
    io::copy(&mut packed, &mut io::sink()).map_err(LayerError::Read)?;
    let (got, size) = packed.finish();
    match promised {
        Some((_, expected)) if size != expected => Err(LayerError::Size {
            expected,
            got: size,
        }),
        Some((expected, _)) if got != expected => Err(LayerError::Digest {
            form: "packed",
            expected,
            got,
        }),
        _ => Ok(()),
    }
}

/// Tells how much of the packed stream is read, while others own the reader.
struct Counted<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// Fails when more is read than a layer may unpack to.
struct Limited<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("more bytes than a layer may have")]
struct OverLimit;

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(OverLimit))?;
        Ok(read)
    }
}

struct Unpacked<R> {
    inner: HashingReader<R>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: Read> Skip for Unpacked<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.inner).take(bytes), &mut io::sink())?;
        if skipped < bytes {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }
}
