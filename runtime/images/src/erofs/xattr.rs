//! Extended attributes behind an inode: `erofs_xattr_ibody_header` and its entries.
//!
//! All are inline; none are shared. A name is stored as an index for its prefix and the rest.

use super::ErofsError;
use crate::tree::Xattrs;

const HEADER_SIZE: usize = 12;
const ENTRY_SIZE: usize = 4;

/// Index and full prefix (`EROFS_XATTR_INDEX_*`). The two ACL names are whole.
const PREFIXES: [(u8, &[u8]); 5] = [
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
];

/// Whether Linux and EROFS have a place for this name.
pub(crate) fn is_storable(name: &[u8]) -> bool {
    split(name).is_some()
}

fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(index, prefix)| {
        let rest = name.strip_prefix(*prefix)?;
        (prefix.ends_with(b".") != rest.is_empty()).then_some((*index, rest))
    })
}

fn padded(size: usize) -> usize {
    size.next_multiple_of(ENTRY_SIZE)
}

/// Bytes that the attributes take behind the inode; 0 for none.
pub(crate) fn size(xattrs: &Xattrs) -> usize {
    if xattrs.is_empty() {
        return 0;
    }
    let entries = xattrs.iter().map(|(name, value)| {
        let rest = split(name).map_or(0, |(_, rest)| rest.len());
        padded(ENTRY_SIZE + rest + value.len())
    });
    HEADER_SIZE + entries.sum::<usize>()
}

/// The units of `i_xattr_icount`: one for the header, one for each 4 bytes behind it.
pub(crate) fn count(size: usize) -> Result<u16, ErofsError> {
    if size == 0 {
        return Ok(0);
    }
    let words = (size - HEADER_SIZE) / ENTRY_SIZE + 1;
    u16::try_from(words).map_err(|_ignored| ErofsError::TooLarge {
        what: "extended attributes of a file with this many words",
        value: words as u64,
        limit: u16::MAX.into(),
    })
}

/// Bytes behind the inode for a count read from it.
pub(crate) fn size_of_count(count: u16) -> usize {
    match usize::from(count) {
        0 => 0,
        count => HEADER_SIZE + (count - 1) * ENTRY_SIZE,
    }
}

pub(crate) fn encode(xattrs: &Xattrs) -> Result<Vec<u8>, ErofsError> {
    let mut bytes = Vec::with_capacity(size(xattrs));
    if xattrs.is_empty() {
        return Ok(bytes);
    }
    bytes.resize(HEADER_SIZE, 0);
    for (name, value) in xattrs {
        let (index, rest) = split(name).ok_or(ErofsError::Damaged {
            what: "attribute without a known prefix",
            nid: 0,
        })?;
        let too_large = |what, size: usize, limit| ErofsError::TooLarge {
            what,
            value: size as u64,
            limit,
        };
        let rest_size = u8::try_from(rest.len())
            .map_err(|_ignored| too_large("attribute name size", rest.len(), 255))?;
        let value_size = u16::try_from(value.len())
            .map_err(|_ignored| too_large("attribute value size", value.len(), 65_535))?;
        bytes.extend_from_slice(&[rest_size, index]);
        bytes.extend_from_slice(&value_size.to_le_bytes());
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(value);
        bytes.resize(padded(bytes.len()), 0);
    }
    Ok(bytes)
}

pub(crate) fn decode(bytes: &[u8], nid: u64) -> Result<Xattrs, ErofsError> {
    let damaged = || ErofsError::Damaged {
        what: "extended attributes",
        nid,
    };
    let mut xattrs = Xattrs::new();
    if bytes.is_empty() {
        return Ok(xattrs);
    }
    let mut rest = bytes.get(HEADER_SIZE..).ok_or_else(damaged)?;
    while let Some((header, tail)) = rest.split_first_chunk::<ENTRY_SIZE>() {
        let [name_size, index, low, high] = *header;
        let name_size = usize::from(name_size);
        let value_size = usize::from(u16::from_le_bytes([low, high]));
        let (_, prefix) = PREFIXES
            .iter()
            .find(|(known, _)| *known == index)
            .ok_or_else(damaged)?;
        let name = tail.get(..name_size).ok_or_else(damaged)?;
        let value = tail
            .get(name_size..name_size + value_size)
            .ok_or_else(damaged)?;
        xattrs.insert([prefix, name].concat().into(), value.into());
        rest = rest
            .get(padded(ENTRY_SIZE + name_size + value_size)..)
            .ok_or_else(damaged)?;
    }
    Ok(xattrs)
}

#[cfg(test)]
mod tests;
