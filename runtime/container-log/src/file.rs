//! The open log: which file it is, how long, and what of it is not recorded yet.
//!
//! Main type: [`Log`]. Above: `log_file` and `resume`. Below: `calls`.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::calls;
use crate::error::{LogError, io_error};

/// As other runtimes do: kubelet is root, and a log collector may read by group.
const LOG_MODE: u32 = 0o640;
const POSITION_MODE: u32 = 0o600;

/// Which file it is, under whatever name. The time of birth is there because ext4 gives the inode
/// number of a removed file to the next one; it is 0 where the file system has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) born_ns: u64,
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok();
        let since = born.and_then(|born| born.duration_since(SystemTime::UNIX_EPOCH).ok());
        let born_ns = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born_ns: born_ns.unwrap_or(0),
        }
    }
}

/// Whether an open made the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Made,
    Found,
}

/// A log that is open to read and append.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    /// The name that it was opened by, for errors.
    path: PathBuf,
    identity: Identity,
    /// Up to here the file is as the position says.
    length: u64,
    /// Bytes behind `length` that are written and not recorded.
    unrecorded: u64,
}

impl Log {
    pub(crate) fn open(path: &Path) -> Result<(Self, Origin), LogError> {
        let (file, origin) = open_or_create(&log_options(), path)?;
        Ok((Self::new(file, path)?, origin))
    }

    /// `None` if there is nothing of that name.
    pub(crate) fn open_existing(path: &Path) -> Result<Option<Self>, LogError> {
        let file = open_regular(&log_options(), path)?;
        file.map(|file| Self::new(file, path)).transpose()
    }

    fn new(file: File, path: &Path) -> Result<Self, LogError> {
        let metadata = file.metadata().map_err(io_error("look at", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            identity: Identity::of(&metadata),
            length: metadata.len(),
            unrecorded: 0,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// With what is not recorded yet.
    pub(crate) fn length(&self) -> u64 {
        self.length.saturating_add(self.unrecorded)
    }

    /// Writes all of the bytes, or none: what a failed write left is cut off at once, or if that
    /// fails too, before the next one.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        self.undo()?;
        let mut left = bytes;
        while !left.is_empty() {
            let written = match calls::write(&self.file, left) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                written => written,
            };
            let written = written.map_err(|error| {
                // Kept in `unrecorded`: the next append reports it if it still can't be cut off.
                self.undo().ok();
                io_error("append to", &self.path)(error)
            })?;
            left = left.get(written..).unwrap_or_default();
            self.unrecorded += u64::try_from(written).unwrap_or(0);
        }
        Ok(())
    }

    /// What was written is in the position now.
    pub(crate) fn recorded(&mut self) {
        self.length = self.length();
        self.unrecorded = 0;
    }

    /// Cuts off what is not recorded. It goes by the length that the file has, for somebody may have
    /// emptied it meanwhile, and a truncation to our count would then fill it with zeros.
    pub(crate) fn undo(&mut self) -> Result<(), LogError> {
        if self.unrecorded == 0 {
            return Ok(());
        }
        let metadata = self.file.metadata();
        let length = metadata.map_err(io_error("look at", &self.path))?.len();
        self.truncate(length.saturating_sub(self.unrecorded))?;
        self.unrecorded = 0;
        Ok(())
    }

    pub(crate) fn truncate(&mut self, length: u64) -> Result<(), LogError> {
        let cut = calls::truncate(&self.file, length);
        cut.map_err(io_error("cut half a line off", &self.path))?;
        self.length = length;
        Ok(())
    }

    /// Ends a last line that another left without a newline, so that ours starts where it should.
    pub(crate) fn end_line(&mut self) -> Result<(), LogError> {
        if !self.ends_line(self.length)? {
            self.append(b"\n")?;
            self.recorded();
        }
        Ok(())
    }

    /// Whether a line can start at that offset of the file.
    pub(crate) fn ends_line(&self, offset: u64) -> Result<bool, LogError> {
        let Some(last) = offset.checked_sub(1) else {
            return Ok(true);
        };
        Ok(self.read(last, 1)? == b"\n")
    }

    pub(crate) fn read(&self, offset: u64, count: usize) -> Result<Vec<u8>, LogError> {
        let mut bytes = vec![0; count];
        let read = self.file.read_exact_at(&mut bytes, offset);
        read.map_err(io_error("read", &self.path))?;
        Ok(bytes)
    }
}

/// Opens a position file; what it holds is overwritten in place.
pub(crate) fn open_position(path: &Path) -> Result<(File, Origin), LogError> {
    let mut options = File::options();
    open_or_create(options.read(true).write(true).mode(POSITION_MODE), path)
}

/// A log is open for append: should somebody empty it, ours goes on at its start, not behind a hole.
fn log_options() -> OpenOptions {
    let mut options = File::options();
    options.read(true).append(true).mode(LOG_MODE);
    options
}

/// Makes a regular file unless there is one.
fn open_or_create(options: &OpenOptions, path: &Path) -> Result<(File, Origin), LogError> {
    if let Some(file) = open_regular(options, path)? {
        return Ok((file, Origin::Found));
    }
    let mut options = options.clone();
    let file = calls::open(options.create_new(true), path).map_err(io_error("create", path))?;
    Ok((file, Origin::Made))
}

/// Opens nothing but a regular file. A container that can write to the node's log folder could put
/// a symlink there, to have us write elsewhere, or a pipe, to have us wait: neither is followed.
/// Only the last name counts: that the folder is reached through symlinks is the node's matter.
fn open_regular(options: &OpenOptions, path: &Path) -> Result<Option<File>, LogError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = options.clone();
    let file = match calls::open(options.custom_flags(flags), path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(not_opened(path, error)),
    };
    let metadata = file.metadata().map_err(io_error("look at", path))?;
    if !metadata.is_file() {
        let path = path.to_owned();
        return Err(LogError::NotAFile { path });
    }
    Ok(Some(file))
}

fn not_opened(path: &Path, error: io::Error) -> LogError {
    let others = [Errno::LOOP, Errno::ISDIR, Errno::NXIO];
    let errno = Errno::from_io_error(&error);
    if errno.is_some_and(|errno| others.contains(&errno)) {
        let path = path.to_owned();
        return LogError::NotAFile { path };
    }
    io_error("open", path)(error)
}
