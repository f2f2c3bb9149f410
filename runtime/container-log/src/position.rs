//! The position file: up to where a log and its streams have come, for the next daemon to read.
//!
//! Main types: [`Position`], the open file, and [`Record`], what is in it. A record has a fixed size
//! and is overwritten in place by one pwrite(2): it lies within one page, which a killed process
//! has copied whole or not at all. Above: `log_file` and `resume`. Below: `calls`.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::calls;
use crate::error::{LogError, io_error};
use crate::file::{self, Identity, Origin};
use crate::line::Stream;

/// The last byte is the version of the form.
const MAGIC: [u8; 8] = *b"CFLOGP\n\x01";
/// Device, inode, time of birth, length, two offsets.
const WORDS: usize = 6;
const CHECKSUM_BYTES: usize = 16;
const BODY_BYTES: usize = MAGIC.len() + WORDS * size_of::<u64>();
pub(crate) const RECORD_BYTES: usize = BODY_BYTES + CHECKSUM_BYTES;
/// An offset that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Up to where each stream is in the log. `None`: its position was lost, and the first append says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) stdout: Option<u64>,
    pub(crate) stderr: Option<u64>,
}

impl Offsets {
    pub(crate) const START: Self = Self {
        stdout: Some(0),
        stderr: Some(0),
    };
    pub(crate) const LOST: Self = Self {
        stdout: None,
        stderr: None,
    };

    pub(crate) fn get(self, stream: Stream) -> Option<u64> {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, stream: Stream, offset: u64) -> Self {
        match stream {
            Stream::Stdout => self.stdout = Some(offset),
            Stream::Stderr => self.stderr = Some(offset),
        }
        self
    }

    /// So many bytes further, if it is known from where.
    #[must_use]
    pub(crate) fn after(self, stream: Stream, bytes: u64) -> Self {
        match self.get(stream) {
            Some(offset) => self.with(stream, offset.saturating_add(bytes)),
            None => self,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) log: Identity,
    pub(crate) length: u64,
    pub(crate) offsets: Offsets,
}

impl Record {
    fn encode(&self, log_path: &Path) -> [u8; RECORD_BYTES] {
        let words: [u64; WORDS] = [
            self.log.device,
            self.log.inode,
            self.log.born_ns,
            self.length,
            self.offsets.stdout.unwrap_or(UNKNOWN),
            self.offsets.stderr.unwrap_or(UNKNOWN),
        ];
        let mut bytes = [0; RECORD_BYTES];
        let (body, checksum) = bytes.split_at_mut(BODY_BYTES);
        let (magic, rest) = body.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        for (place, word) in rest.chunks_exact_mut(size_of::<u64>()).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        checksum.copy_from_slice(&checksum_of(body, log_path));
        bytes
    }

    /// `None` for anything but a whole record of that log: torn, of another form, or of another log.
    fn decode(bytes: &[u8], log_path: &Path) -> Option<Self> {
        let bytes: &[u8; RECORD_BYTES] = bytes.try_into().ok()?;
        let (body, checksum) = bytes.split_at(BODY_BYTES);
        if !body.starts_with(&MAGIC) || checksum != checksum_of(body, log_path) {
            return None;
        }
        let (words, _) = body.get(MAGIC.len()..)?.as_chunks();
        let words: Vec<u64> = words.iter().copied().map(u64::from_le_bytes).collect();
        let &[device, inode, born_ns, length, stdout, stderr] = &words[..] else {
            return None;
        };
        let known = |offset| (offset != UNKNOWN).then_some(offset);
        Some(Self {
            log: Identity {
                device,
                inode,
                born_ns,
            },
            length,
            offsets: Offsets {
                stdout: known(stdout),
                stderr: known(stderr),
            },
        })
    }
}

/// The log's path is part of it, so that another container's record is nobody's here.
fn checksum_of(body: &[u8], log_path: &Path) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Sha256::new();
    hash.update(body);
    hash.update(log_path.as_os_str().as_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let mut checksum = [0; CHECKSUM_BYTES];
    for (place, byte) in checksum.iter_mut().zip(hash) {
        *place = byte;
    }
    checksum
}

/// An open position file.
#[derive(Debug)]
pub(crate) struct Position {
    file: File,
    path: PathBuf,
    log_path: PathBuf,
}

impl Position {
    pub(crate) fn open(path: &Path, log_path: &Path) -> Result<(Self, Origin), LogError> {
        let (file, origin) = file::open_position(path)?;
        let position = Self {
            file,
            path: path.to_owned(),
            log_path: log_path.to_owned(),
        };
        Ok((position, origin))
    }

    /// `None` if there is no whole record of this log.
    pub(crate) fn read(&self) -> Result<Option<Record>, LogError> {
        let mut bytes = [0; RECORD_BYTES + 1];
        let count = self.file.read_at(&mut bytes, 0);
        let count = count.map_err(io_error("read", &self.path))?;
        let bytes = bytes.get(..count).unwrap_or_default();
        Ok(Record::decode(bytes, &self.log_path))
    }

    /// Empties a file that holds no record of ours: it may be longer than one.
    pub(crate) fn clear(&self) -> Result<(), LogError> {
        calls::truncate(&self.file, 0).map_err(io_error("empty", &self.path))
    }

    pub(crate) fn write(&self, record: &Record) -> Result<(), LogError> {
        let bytes = record.encode(&self.log_path);
        calls::write_at_start(&self.file, &bytes).map_err(io_error("write", &self.path))
    }
}
