//! The log of one container while it is written. Its main type is [`LogFile`].
//!
//! ```text
//!  create ──► append … finish ◄── resume
//!               │ ▲
//!             reopen (kubelet has renamed the file)
//! ```
//!
//! There is no end to it: nothing is lost or left behind when it is dropped. Above: `pod`. Below:
//! `cut` makes lines, `file` writes them, `position` remembers.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::calls;
use crate::cut;
use crate::error::LogError;
use crate::file::{Log, Origin};
use crate::limits;
use crate::line::{self, Stamp, Stream, Tag};
use crate::position::{Offsets, Position, Record};

/// One container's log. It has one owner, who calls from a thread that may block.
#[derive(Debug)]
pub struct LogFile {
    /// Where kubelet looks; the file that is being written may have another name meanwhile.
    path: PathBuf,
    log: Log,
    position: Position,
    /// What is written and recorded.
    offsets: Offsets,
    stdout: Unfinished,
    stderr: Unfinished,
}

/// What came behind the last line of a stream: at most [`limits::TEXT_BYTES`], without a newline.
#[derive(Debug, Default)]
struct Unfinished(Vec<u8>);

impl LogFile {
    /// The log of a container that is not started yet. The folders of both paths must be there. A
    /// log that is there is appended to; a position is overwritten.
    ///
    /// # Errors
    /// When a file can't be made, or is no regular file; a file that was made is removed again.
    pub fn create(path: &Path, position_path: &Path) -> Result<Self, LogError> {
        let (log, log_origin) = Log::open(path)?;
        let created = Self::create_position(path, position_path, log);
        if created.is_err() && log_origin == Origin::Made {
            // The error that is reported is the first one.
            calls::remove(path).ok();
        }
        created
    }

    fn create_position(path: &Path, position_path: &Path, mut log: Log) -> Result<Self, LogError> {
        log.end_line()?;
        let (position, origin) = Position::open(position_path, path)?;
        let started = position
            .clear()
            .and_then(|()| Self::start(path, log, position, Offsets::START));
        if started.is_err() && origin == Origin::Made {
            calls::remove(position_path).ok();
        }
        started
    }

    /// Goes on with an open log whose last line is ended, and records that.
    pub(crate) fn start(
        path: &Path,
        log: Log,
        position: Position,
        offsets: Offsets,
    ) -> Result<Self, LogError> {
        position.write(&Record {
            log: log.identity(),
            length: log.length(),
            offsets,
        })?;
        Ok(Self {
            path: path.to_owned(),
            log,
            position,
            offsets,
            stdout: Unfinished::default(),
            stderr: Unfinished::default(),
        })
    }

    /// Up to which offset the stream is in the log: the guest may forget what is before it, and this
    /// is where the stream is to be opened again. `None` after a lost position, before the first
    /// append: open at the oldest offset that the guest still has.
    #[must_use]
    pub fn acknowledged(&self, stream: Stream) -> Option<u64> {
        self.offsets.get(stream)
    }

    /// Takes the bytes that a stream has at `offset`, writes the lines that are whole and keeps what
    /// follows. Returns what may be acknowledged now.
    ///
    /// Bytes that were taken before are skipped: so the same bytes can be handed in again after an
    /// error, and a stream that was opened again starts at [`acknowledged`](Self::acknowledged)
    /// although half a line behind that is here already. `now` is the time of all lines that end in
    /// these bytes.
    ///
    /// 2 system calls per [`limits::PORTION_BYTES`] that end a line, none where no line ends.
    ///
    /// # Errors
    /// When the disk is full or fails: then nothing of the failed portion is taken or left in the
    /// file, and the container's output waits in the guest until the caller tries again. When bytes
    /// are missing before `offset`.
    pub fn append(
        &mut self,
        stream: Stream,
        offset: u64,
        bytes: &[u8],
        now: SystemTime,
    ) -> Result<u64, LogError> {
        let written = self.offsets.get(stream).unwrap_or(offset);
        let held = u64::try_from(self.unfinished(stream).0.len()).unwrap_or(0);
        let expected = written.saturating_add(held);
        let Some(skip) = expected.checked_sub(offset) else {
            let path = self.path.clone();
            return Err(LogError::Gap {
                path,
                stream,
                expected,
                offset,
            });
        };
        self.offsets = self.offsets.with(stream, written);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let fresh = bytes.get(skip..).unwrap_or_default();
        let stamp = Stamp::new(now);
        for portion in fresh.chunks(limits::PORTION_BYTES) {
            self.take(stream, portion, &stamp)?;
        }
        Ok(self.offsets.get(stream).unwrap_or(written))
    }

    fn take(&mut self, stream: Stream, portion: &[u8], stamp: &Stamp) -> Result<(), LogError> {
        let unfinished = &self.unfinished(stream).0;
        let text = if unfinished.is_empty() {
            Cow::Borrowed(portion)
        } else {
            Cow::Owned([unfinished, portion].concat())
        };
        let mut lines = Vec::new();
        let taken = cut::lines(&mut lines, stamp, stream, &text);
        self.write(stream, &lines, taken)?;
        let rest = text.get(taken..).unwrap_or_default().to_vec();
        *self.unfinished(stream) = Unfinished(rest);
        Ok(())
    }

    /// Writes what is left of a stream that has ended, as a line without an end. Returns what may be
    /// acknowledged now: all of it.
    ///
    /// 2 system calls, or none if nothing is left.
    ///
    /// # Errors
    /// As for [`append`](Self::append); it can be called again.
    pub fn finish(&mut self, stream: Stream, now: SystemTime) -> Result<Option<u64>, LogError> {
        let text = &self.unfinished(stream).0;
        if !text.is_empty() {
            let (mut lines, taken) = (Vec::new(), text.len());
            line::write(&mut lines, &Stamp::new(now), stream, Tag::Partial, text);
            self.write(stream, &lines, taken)?;
            *self.unfinished(stream) = Unfinished::default();
        }
        Ok(self.acknowledged(stream))
    }

    /// The two writes. All of it happens, or nothing does.
    fn write(&mut self, stream: Stream, lines: &[u8], taken: usize) -> Result<(), LogError> {
        if lines.is_empty() {
            return Ok(());
        }
        self.log.append(lines)?;
        let taken = u64::try_from(taken).unwrap_or(0);
        let record = Record {
            log: self.log.identity(),
            length: self.log.length(),
            offsets: self.offsets.after(stream, taken),
        };
        if let Err(error) = self.position.write(&record) {
            // If this fails as well, the next append tries it again first, and reports it.
            self.log.undo().ok();
            return Err(error);
        }
        self.log.recorded();
        self.offsets = record.offsets;
        Ok(())
    }

    /// After kubelet has renamed the log: makes a new one and goes on there. The old file has whole
    /// lines only and gets nothing more. Without a rename, nothing happens. Unfinished lines are
    /// written to the new file when they end.
    ///
    /// 4 system calls: open that finds nothing, open that creates, statx, pwrite.
    ///
    /// # Errors
    /// When the new file can't be made: then the old one stays in use. Kubelet renames it back.
    pub fn reopen(&mut self) -> Result<(), LogError> {
        self.log.undo()?;
        let (mut log, origin) = Log::open(&self.path)?;
        if log.identity() == self.log.identity() {
            return Ok(());
        }
        let switched = log.end_line().and_then(|()| {
            self.position.write(&Record {
                log: log.identity(),
                length: log.length(),
                offsets: self.offsets,
            })
        });
        match switched {
            Ok(()) => self.log = log,
            Err(error) => {
                if origin == Origin::Made {
                    // The error that is reported is the first one.
                    calls::remove(&self.path).ok();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn unfinished(&mut self, stream: Stream) -> &mut Unfinished {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}
