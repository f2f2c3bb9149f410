//! Directory data: blocks of sorted `erofs_dirent`s with their names behind them.
//!
//! The kernel finds a name by binary search over blocks and then within one (`fs/erofs/namei.c`), so
//! entries, `.` and `..` among them, are in byte order over the whole directory, and an entry never
//! straddles two blocks. The name of a block's last entry ends at the first NUL or the block's end.

use super::ErofsError;
use super::format::BLOCK_SIZE;

const DIRENT_SIZE: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) nid: u64,
    /// `FT_*` of the kernel.
    pub(crate) file_type: u8,
}

/// Splits sorted entries into runs that fill one block each.
fn blocks<'e, 'a>(entries: &'e [Entry<'a>]) -> Vec<&'e [Entry<'a>]> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut used = 0;
    for (index, entry) in entries.iter().enumerate() {
        let size = DIRENT_SIZE + entry.name.len();
        if used + size > BLOCK_SIZE {
            runs.push(&entries[start..index]);
            start = index;
            used = 0;
        }
        used += size;
    }
    runs.push(&entries[start..]);
    runs
}

/// Bytes of the directory: full blocks, then as much of the last as is used.
pub(crate) fn size(entries: &[Entry<'_>]) -> usize {
    let runs = blocks(entries);
    let last: usize = runs
        .last()
        .into_iter()
        .flat_map(|run| run.iter())
        .map(|entry| DIRENT_SIZE + entry.name.len())
        .sum();
    (runs.len() - 1) * BLOCK_SIZE + last
}

/// Writes entries, which must be sorted by name, as directory data of [`size`] bytes.
pub(crate) fn encode(entries: &[Entry<'_>]) -> Result<Vec<u8>, ErofsError> {
    let mut data = Vec::new();
    for run in blocks(entries) {
        data.resize(data.len().next_multiple_of(BLOCK_SIZE), 0);
        let mut name_offset = run.len() * DIRENT_SIZE;
        for entry in run {
            // `blocks` keeps a run within one block, so that offsets fit by far.
            let offset = u16::try_from(name_offset).map_err(|_ignored| ErofsError::TooLarge {
                what: "name offset in a directory block",
                value: name_offset as u64,
                limit: u16::MAX.into(),
            })?;
            data.extend_from_slice(&entry.nid.to_le_bytes());
            data.extend_from_slice(&offset.to_le_bytes());
            data.extend_from_slice(&[entry.file_type, 0]);
            name_offset += entry.name.len();
        }
        for entry in run {
            data.extend_from_slice(entry.name);
        }
    }
    Ok(data)
}

/// Reads directory data back, with every offset checked.
pub(crate) fn decode(data: &[u8], nid: u64) -> Result<Vec<Entry<'_>>, ErofsError> {
    let damaged = || ErofsError::Damaged {
        what: "directory block",
        nid,
    };
    let mut entries = Vec::new();
    for block in data.chunks(BLOCK_SIZE) {
        let first = block.get(8..10).ok_or_else(damaged)?;
        let names_start = usize::from(u16::from_le_bytes([first[0], first[1]]));
        let table = block.get(..names_start).ok_or_else(damaged)?;
        let (dirents, odd) = table.as_chunks::<DIRENT_SIZE>();
        if dirents.is_empty() || !odd.is_empty() {
            return Err(damaged());
        }
        for (index, dirent) in dirents.iter().enumerate() {
            let [a, b, c, d, e, f, g, h, low, high, file_type, _] = *dirent;
            let start = usize::from(u16::from_le_bytes([low, high]));
            let end = dirents
                .get(index + 1)
                .map(|next| usize::from(u16::from_le_bytes([next[8], next[9]])));
            let name = match end {
                Some(end) => block.get(start..end).ok_or_else(damaged)?,
                None => {
                    let tail = block.get(start..).ok_or_else(damaged)?;
                    tail.split(|byte| *byte == 0).next().unwrap_or_default()
                }
            };
            if name.is_empty() {
                return Err(damaged());
            }
            let nid = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            entries.push(Entry {
                name,
                nid,
                file_type,
            });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
