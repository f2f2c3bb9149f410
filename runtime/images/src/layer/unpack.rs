//! Gzip, zstd or plain: told apart by label and by first bytes, which must agree.
//!
//! Main type: [`Packing`]. Used by `convert`.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

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
    let mut packed = BufReader::with_capacity(128 << 10, packed);
    let first_bytes = fill(&mut packed).map_err(LayerError::Read)?;
    let found = Packing::of(first_bytes);
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

/// The first bytes, without consuming them; fewer only at the end of the stream. A first read may
/// be short, but the sources here are files and slices, whose reads are not.
fn fill<R: Read>(packed: &mut BufReader<R>) -> io::Result<&[u8]> {
    let bytes = packed.fill_buf()?;
    Ok(&bytes[..bytes.len().min(Packing::MAGIC_SIZE)])
}
