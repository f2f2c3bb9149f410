//! Writes to a file of the host what a container has left in the guest. Main function: [`write`].

use std::{fs::File, io, io::Write, path::PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use super::read::{self, ReadError};
use crate::error::PodError;

/// In the place of what the file has. It is to be there, and no link: the path was checked when the container was made, and is no more trusted than then.
pub(super) async fn write(path: PathBuf, content: Vec<u8>) -> Result<(), PodError> {
    read::blocking(move || {
        replace(&path, &content).map_err(|source| ReadError::Io { path, source })
    })
    .await
}

fn replace(path: &PathBuf, content: &[u8]) -> io::Result<()> {
    // NONBLOCK: a fifo must not make us wait.
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut file = File::from(file);
    file.set_len(0)?;
    file.write_all(content)
}
