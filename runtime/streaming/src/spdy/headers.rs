//! Headers of streams: inflating a client's, and the one block that we answer with (SPDY protocol draft 3.1, 2.6.10). Main type:
//! [`Inflater`]. Above: `connection`. Below: flate2 with zlib-rs, which knows preset dictionaries.
//!
//! The compression is one stream for the life of a connection, through all frames that carry headers: every block has to be inflated,
//! whether its stream is wanted or not, and a block that can't be is the end of the connection.

use flate2::{Decompress, DecompressError, FlushDecompress};
use thiserror::Error;

use super::dictionary;
use crate::limits;

#[cfg(test)]
mod tests;

/// A block without headers, as deflate has it: a stored block with the number 0, then an empty stored block. The second is what a flush
/// leaves behind, and Go's inflater hands out nothing before it comes.
const NO_HEADERS: [u8; 14] = [
    0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0xff, 0xff,
];
/// How zlib begins with a preset dictionary, fastest level (RFC 1950); the dictionary's Adler-32 follows.
const ZLIB_HEAD: [u8; 2] = [0x78, 0xbb];

/// The headers of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// Why headers can't be read.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// The compression is lost, and with it the connection.
    #[error("inflate the headers of a stream")]
    Inflate(#[source] DecompressError),
    /// More than is ever needed; the compression can't go on.
    #[error("inflate the headers of a stream: more than {most} bytes", most = limits::HEADER_BYTES)]
    TooLong,
    /// The block does not hold what it says it holds. Only its stream is lost.
    #[error("read the headers of a stream: {0}")]
    Malformed(&'static str),
}

impl HeaderError {
    /// Whether the blocks that follow can be read.
    pub(crate) fn is_of_one_stream(&self) -> bool {
        matches!(self, Self::Malformed(_))
    }
}

impl Headers {
    #[cfg(test)]
    pub(crate) fn of(headers: &[(&str, &str)]) -> Self {
        let owned = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self(owned.collect())
    }

    /// A header's value, the first if there are several.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.and_then(|(_, values)| values.split('\0').next())
    }
}

/// Inflates the header blocks of one connection, in their order.
#[derive(Debug)]
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Inflater {
    /// The headers of the next block.
    ///
    /// # Errors
    ///
    /// It can't be inflated, or it holds no headers.
    pub fn headers(&mut self, block: &[u8]) -> Result<Headers, HeaderError> {
        let plain = self.inflate(block)?;
        parse(&plain).map_err(HeaderError::Malformed)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, HeaderError> {
        let mut plain = Vec::with_capacity(limits::HEADER_BYTES);
        loop {
            let before = self.0.total_in();
            let inflated = self
                .0
                .decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(block.len());
            block = block.get(taken..).unwrap_or_default();
            match inflated {
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.0.set_dictionary(dictionary::spdy_3());
                    set.map_err(HeaderError::Inflate)?;
                }
                Err(error) => return Err(HeaderError::Inflate(error)),
                Ok(_) if plain.len() == plain.capacity() => return Err(HeaderError::TooLong),
                Ok(_) if block.is_empty() || taken == 0 => return Ok(plain),
                Ok(_) => {}
            }
        }
    }
}

/// Reads a block (2.6.10): a count, then names and values, each behind its length.
fn parse(mut plain: &[u8]) -> Result<Headers, &'static str> {
    let count = number(&mut plain)?;
    if count > limits::HEADERS {
        return Err("too many");
    }
    let mut headers = Headers::default();
    for _ in 0..count {
        let name = text(&mut plain)?;
        let value = text(&mut plain)?;
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err("a name is empty or has an upper-case letter");
        }
        if headers.0.iter().any(|(known, _)| known == name) {
            return Err("a name comes twice");
        }
        headers.0.push((name.to_owned(), value.to_owned()));
    }
    match plain {
        [] => Ok(headers),
        _ => Err("bytes are left over"),
    }
}

fn number(plain: &mut &[u8]) -> Result<usize, &'static str> {
    let (number, rest) = plain.split_first_chunk().ok_or("it ends early")?;
    *plain = rest;
    usize::try_from(u32::from_be_bytes(*number)).map_err(|_error| "a length is too long")
}

fn text<'a>(plain: &mut &'a [u8]) -> Result<&'a str, &'static str> {
    let length = number(plain)?;
    let (text, rest) = plain.split_at_checked(length).ok_or("it ends early")?;
    *plain = rest;
    std::str::from_utf8(text).map_err(|_error| "a text is not UTF-8")
}

/// The blocks of our replies, all without headers; the first opens the compression.
#[derive(Debug, Default)]
pub(crate) struct ReplyBlocks {
    opened: bool,
}

impl ReplyBlocks {
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut block = Vec::with_capacity(ZLIB_HEAD.len() + 4 + NO_HEADERS.len());
        if !self.opened {
            self.opened = true;
            block.extend(ZLIB_HEAD);
            block.extend(dictionary::ADLER_32.to_be_bytes());
        }
        block.extend(NO_HEADERS);
        block
    }
}
