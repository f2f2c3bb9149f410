//! Gzip, zstd or plain: told apart by label and by first bytes, which must agree.
//!
//! Main type: [`Packing`]. Used by `convert`, and by `source` for archives that are packed as a whole.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use super::LayerError;
use crate::limits;

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Gzip, of one or more members.
    Gzip,
    /// Zstandard, of one or more frames.
    Zstd,
    /// Not at all.
    Plain,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Plain => "plain tar",
        })
    }
}

impl Packing {
    /// Largest number of bytes that [`Packing::of`] wants to see.
    const MAGIC_SIZE: usize = 4;

    /// What a stream with these first bytes is. A tar header starts with a file name, which in
    /// practice is never one of these byte strings.
    pub(crate) fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // Skippable frames, with which zstd:chunked layers may start (RFC 8878, 3.1.2).
            [first, 0x2a, 0x4d, 0x18, ..] if first & 0xf0 == 0x50 => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// Unpacks a stream. With a label, the first bytes must agree with it.
pub(crate) fn unpack<'a>(
    packed: impl Read + 'a,
    label: Option<Packing>,
) -> Result<(Packing, Box<dyn Read + 'a>), LayerError> {
    let mut packed = packed;
    let mut magic = Vec::with_capacity(Packing::MAGIC_SIZE);
    // A stream from a network gives what has arrived, be it one byte.
    let most = Packing::MAGIC_SIZE as u64;
    let read = (&mut packed).take(most).read_to_end(&mut magic);
    read.map_err(LayerError::Read)?;
    let found = Packing::of(&magic);
    let packed = BufReader::with_capacity(128 << 10, Cursor::new(magic).chain(packed));
    if let Some(labelled) = label
        && labelled != found
    {
        return Err(LayerError::Mislabelled { labelled, found });
    }
    let unpacked: Box<dyn Read + 'a> = match found {
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Packing::Plain => Box::new(packed),
        Packing::Zstd => {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(packed).and_then(|mut decoder| {
                    decoder.window_log_max(limits::ZSTD_WINDOW_LOG)?;
                    Ok(decoder)
                });
            Box::new(decoder.map_err(|source| LayerError::Unpack {
                packing: found,
                source,
            })?)
        }
    };
    Ok((found, unpacked))
}

const COPY_SIZE: usize = 128 << 10;

/// Unpacks a whole archive into a new file, and gives that from its start with its length.
pub(crate) fn unpack_file(packed: &File, path: &Path) -> Result<(File, u64), LayerError> {
    let packed_bytes = packed.metadata().map_err(LayerError::Read)?.len();
    let (packing, mut unpacked) = unpack(packed, None)?;
    let damaged = |source| LayerError::Unpack { packing, source };
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).open(path);
    let mut file = file.map_err(LayerError::Write)?;
    let mut buffer = vec![0; COPY_SIZE];
    let mut stored: u64 = 0;
    loop {
        let read = unpacked.read(&mut buffer).map_err(damaged)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).map_err(LayerError::Write)?;
        stored += read as u64;
        if stored > limits::ARCHIVE_BYTES {
            return Err(LayerError::TooMuch {
                what: "bytes unpacked",
                limit: limits::ARCHIVE_BYTES,
            });
        }
        if stored > limits::BOMB_FLOOR_BYTES && stored / limits::BOMB_RATIO > packed_bytes {
            let packed = packed_bytes;
            return Err(LayerError::Bomb { stored, packed });
        }
    }
    file.rewind().map_err(LayerError::Read)?;
    Ok((file, stored))
}
