//! Going on with the log of a container that outlived its daemon. Its main type is [`Found`].
//!
//! Above: `pod`. Below: `file`, `position`.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{LogError, io_error};
use crate::file::{Identity, Log};
use crate::limits;
use crate::line::{self, Stream};
use crate::log_file::LogFile;
use crate::position::{Offsets, Position, Record};

/// What a daemon finds of the log that the one before it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// All as it was left, at whatever instant that was: nothing is lost, nothing is repeated.
    Exact,
    /// Someone else has cut or changed the log behind our back. What they left stays. Nothing is
    /// lost by us; at most the bytes of one append are repeated.
    Altered,
    /// Someone else has removed the log, and so many bytes of it. It goes on in a new file behind
    /// what was recorded.
    Removed { bytes: u64 },
    /// The position is missing, damaged or another log's, or was at an earlier resume and a stream
    /// has been silent since. Nothing is lost; what the guest has not been told to forget is repeated.
    NoPosition,
}

impl LogFile {
    /// Goes on where a killed daemon left off; `path` must be spelled as it was for
    /// [`create`](Self::create). The streams are to be opened at [`acknowledged`](Self::acknowledged).
    ///
    /// If kubelet has renamed the log and its call for a new one was lost, the renamed file is used
    /// on until kubelet asks again, or has renamed it back. But if a file is at `path` by then, the
    /// call had got as far as making it, and it is used from now on.
    ///
    /// # Errors
    /// When a file can't be read or written, or `path` is no regular file.
    pub fn resume(path: &Path, position_path: &Path) -> Result<(Self, Found), LogError> {
        let (position, _) = Position::open(position_path, path)?;
        let (log, offsets, found) = match position.read()? {
            Some(record) => go_on(path, &record)?,
            None => {
                position.clear()?;
                (open_ended(path)?, Offsets::LOST, Found::NoPosition)
            }
        };
        Ok((Self::start(path, log, position, offsets)?, found))
    }
}

fn go_on(path: &Path, record: &Record) -> Result<(Log, Offsets, Found), LogError> {
    let Some(mut log) = find(path, record.log)? else {
        // An empty file that is gone is what kubelet leaves of a rotation that it takes back.
        let found = match record.length {
            0 => Found::Exact,
            bytes => Found::Removed { bytes },
        };
        return Ok((open_ended(path)?, record.offsets, found));
    };
    let (offsets, found) = settle(&mut log, record)?;
    let lost = Stream::ALL
        .iter()
        .any(|stream| offsets.get(*stream).is_none());
    let found = if lost { Found::NoPosition } else { found };
    if log.path() != path && exists(path)? {
        log = open_ended(path)?;
    }
    Ok((log, offsets, found))
}

fn open_ended(path: &Path) -> Result<Log, LogError> {
    let (mut log, _) = Log::open(path)?;
    log.end_line()?;
    Ok(log)
}

fn exists(path: &Path) -> Result<bool, LogError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

/// The file under its own name or, after a rename, another one in the folder.
fn find(path: &Path, identity: Identity) -> Result<Option<Log>, LogError> {
    let log = Log::open_existing(path)?.filter(|log| log.identity() == identity);
    if log.is_some() {
        return Ok(log);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
    for (number, entry) in entries.enumerate() {
        let entry = entry.map_err(io_error("list", folder))?;
        if number >= limits::FOLDER_ENTRIES {
            let path = folder.to_owned();
            return Err(LogError::Crowded { path });
        }
        // A file that goes meanwhile is not the one: kubelet compresses and removes older logs.
        let metadata = entry.metadata().ok();
        let same = metadata.is_some_and(|metadata| Identity::of(&metadata) == identity);
        if same && let Some(log) = Log::open_existing(&entry.path())? {
            return Ok(Some(log).filter(|log| log.identity() == identity));
        }
    }
    Ok(None)
}

/// Counts what is behind the recorded length and cuts off half a line.
fn settle(log: &mut Log, record: &Record) -> Result<(Offsets, Found), LogError> {
    let altered = Ok((record.offsets, Found::Altered));
    let tail = log.length().checked_sub(record.length);
    let tail = tail.and_then(|tail| usize::try_from(tail).ok());
    let Some(tail) = tail.filter(|tail| *tail <= limits::WRITE_BYTES) else {
        log.end_line()?;
        return altered;
    };
    if !log.ends_line(record.length)? {
        log.end_line()?;
        return altered;
    }
    let tail = log.read(record.length, tail)?;
    let (offsets, whole, found) = count(&tail, record.offsets);
    if whole < tail.len() {
        let whole = u64::try_from(whole).unwrap_or(0);
        log.truncate(record.length.saturating_add(whole))?;
    }
    Ok((offsets, found))
}

/// How far the whole lines of a log's end bring the streams, and how long these lines are.
fn count(tail: &[u8], mut offsets: Offsets) -> (Offsets, usize, Found) {
    let (mut whole, mut found) = (0, Found::Exact);
    for line in tail.split_inclusive(|byte| *byte == b'\n') {
        let Some(text) = line.strip_suffix(b"\n") else {
            break;
        };
        whole += line.len();
        match line::parse(text) {
            Ok(line) => offsets = offsets.after(line.stream, line.stream_bytes()),
            // Not written by us.
            Err(_) => found = Found::Altered,
        }
    }
    (offsets, whole, found)
}
