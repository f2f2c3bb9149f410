//! What can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::limits;
use crate::line::Stream;

#[derive(Debug, Error)]
pub enum LogError {
    /// A system call failed.
    #[error("{attempt} {path}", path = path.display())]
    Io {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A folder, a pipe, a device … stands where the log or its position should be.
    #[error("use {path} as a log: it is no regular file, remove it", path = path.display())]
    NotAFile { path: PathBuf },
    /// Bytes are missing between what was handed in and what came before.
    #[error(
        "append to {path}: {stream} goes on at offset {offset}, but the log has it up to {expected}",
        path = path.display()
    )]
    Gap {
        path: PathBuf,
        stream: Stream,
        expected: u64,
        offset: u64,
    },
    /// The folder of the log is full of files that nobody put there for us.
    #[error(
        "look for a renamed log in {path}: it has more than {} entries, remove some",
        limits::FOLDER_ENTRIES,
        path = path.display()
    )]
    Crowded { path: PathBuf },
}

pub(crate) fn io_error(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    move |source| LogError::Io {
        attempt,
        path: path.to_owned(),
        source,
    }
}
