//! PAX records: `<length> <key>=<value>\n`, by length and not by line, for values may be binary.
//!
//! Main type: [`Pax`], the records that mean something to us (POSIX pax, GNU's sparse keys, Schily's
//! attributes). Used by `tar`.

use crate::erofs::xattr;
use crate::layer::sparse;
use crate::limits;
use crate::tree::Xattrs;

#[derive(Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) linkpath: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) xattrs: Xattrs,
    pub(crate) sparse: PaxSparse,
}

#[derive(Debug, Default)]
pub(crate) struct PaxSparse {
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    /// Offsets and lengths in turn (forms 0.0 and 0.1).
    pub(crate) pieces: Option<Vec<u64>>,
    /// Form 1.0: the map stands before the data.
    pub(crate) in_data: bool,
}

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

impl Pax {
    pub(crate) fn parse(mut records: &[u8]) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        while !records.is_empty() {
            let (key, value, rest) = split(records).ok_or("a PAX record is malformed")?;
            pax.take(key, value)?;
            records = rest;
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
            return self.take_xattr(name, value);
        }
        // An empty value takes the record back: the header's own field holds (POSIX pax).
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let number = |what| match value {
            b"" => Ok(None),
            value => sparse::decimal(value).map(Some).ok_or(what),
        };
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.linkpath = text(),
            b"size" => self.size = number("a PAX size is no number")?,
            b"uid" => self.uid = number("a PAX uid is no number")?,
            b"gid" => self.gid = number("a PAX gid is no number")?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(timestamp(value).ok_or("a PAX mtime is no time")?),
            b"GNU.sparse.name" => self.sparse.name = text(),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.size = number("a sparse file's size is no number")?;
            }
            b"GNU.sparse.major" => self.sparse.in_data = value == b"1",
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let number = number("a sparse piece is no number")?.unwrap_or(0);
                self.sparse.pieces.get_or_insert_default().push(number);
            }
            b"GNU.sparse.map" => {
                let pieces = sparse::pieces_of_list(value)
                    .map_err(|_problem| "a sparse file's map is no list of pieces")?;
                let numbers = pieces.iter().flat_map(|piece| [piece.offset, piece.length]);
                self.sparse.pieces = Some(numbers.collect());
            }
            _ => {}
        }
        Ok(())
    }

    /// Keeps an attribute that Linux has a place for. overlayfs keeps its own marks to itself and so
    /// do we: an image must not be able to set them, nor ours.
    fn take_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let private =
            name.starts_with(b"trusted.overlay.") || name.starts_with(b"trusted.cofferdam.");
        if private || !xattr::is_storable(name) {
            tracing::debug!(name = %name.escape_ascii(), "left out an extended attribute");
            return Ok(());
        }
        if name.len() > limits::XATTR_NAME_BYTES || name.contains(&0) {
            return Err("the name of an extended attribute is too long or has a NUL in it");
        }
        if value.len() > limits::XATTR_VALUE_BYTES {
            return Err("the value of an extended attribute is too long");
        }
        self.xattrs.insert(name.into(), value.into());
        if xattr::size(&self.xattrs) > limits::XATTR_TOTAL_BYTES {
            return Err("the extended attributes of one entry are too large together");
        }
        Ok(())
    }
}

/// Key, value and the records behind.
fn split(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(sparse::decimal(records.get(..space)?)?).ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((
        record.get(..equals)?,
        record.get(equals + 1..)?,
        records.get(length..)?,
    ))
}

/// Seconds with a sign and any number of decimals; digits below a nanosecond are dropped.
fn timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let negative = whole.starts_with('-');
    let seconds: i64 = match whole {
        "" | "-" => 0,
        whole => whole.parse().ok()?,
    };
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    if negative && nanoseconds > 0 {
        // −1.25 s is two seconds before 1970 and 0.75 s on.
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests;
