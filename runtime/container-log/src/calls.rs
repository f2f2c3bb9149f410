//! The system calls that change something on disk, and nothing else.
//!
//! All of the crate's writing goes through here, so that the tests can stop the world between any
//! two of them as a kill would, or fill the disk. Above: `file` and `position`.

#[cfg(test)]
pub(crate) mod script;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

#[cfg(test)]
use script::allowed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Open,
    Write,
    WriteAt,
    Truncate,
    Remove,
}

/// How many bytes the call may write: all of them, outside of tests.
#[cfg(not(test))]
fn allowed(_call: Call) -> io::Result<usize> {
    Ok(usize::MAX)
}

/// open(2); it may create.
pub(crate) fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    allowed(Call::Open)?;
    options.open(path)
}

/// write(2): may write less.
pub(crate) fn write(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    let most = allowed(Call::Write)?.min(bytes.len());
    file.write(bytes.get(..most).unwrap_or_default())
}

/// pwrite(2) at the start. Less than all is an error.
pub(crate) fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    allowed(Call::WriteAt)?;
    match file.write_at(bytes, 0)? {
        written if written == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// ftruncate(2).
pub(crate) fn truncate(file: &File, length: u64) -> io::Result<()> {
    allowed(Call::Truncate)?;
    file.set_len(length)
}

/// unlink(2).
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    allowed(Call::Remove)?;
    fs::remove_file(path)
}
