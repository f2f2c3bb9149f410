//! Reading a log back. Its main type is [`Entries`].
//!
//! Used by tests and by whoever shows a log. Holds at most one line and the open entry of each
//! stream, however long the log. Below: `line`.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Read};
use std::time::SystemTime;

use thiserror::Error;

use crate::limits;
use crate::line::{self, Line, Malformed, Stream, Tag};

/// One line of the container's output, put together again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of its first piece.
    pub time: SystemTime,
    pub stream: Stream,
    /// Without the newline.
    pub text: Vec<u8>,
    pub end: LineEnd,
}

/// What follows the text of an entry in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    Newline,
    /// Nothing yet: the log ends here, or the text is longer than [`limits::ENTRY_BYTES`] and goes
    /// on in the stream's next entry.
    Open,
}

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("read line {number} of the log")]
    Io { number: u64, source: io::Error },
    /// The next entry is that of the next line.
    #[error("parse line {number} of the log")]
    Malformed { number: u64, source: Malformed },
    /// The next entry is that of the next line.
    #[error(
        "take line {number} of the log: it is longer than {} bytes",
        limits::LINE_BYTES
    )]
    TooLong { number: u64 },
    /// A line that is being written, or was when its writer was killed.
    #[error("take line {number} of the log: it has no end")]
    Unended { number: u64 },
}

/// The entries of a log, in the order in which they end. To read over rotations, chain the files,
/// oldest first.
#[derive(Debug)]
pub struct Entries<R> {
    source: R,
    /// Of the line that was read last.
    number: u64,
    state: State,
    stdout: Option<Entry>,
    stderr: Option<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// No more lines; open entries are still to be given out.
    Ended,
}

impl<R: BufRead> Entries<R> {
    pub fn new(source: R) -> Self {
        Self {
            source,
            number: 0,
            state: State::Reading,
            stdout: None,
            stderr: None,
        }
    }

    /// Reads one line. `None` if no entry ends with it.
    fn entry(&mut self) -> Result<Option<Entry>, ReadError> {
        let line = self.line()?;
        let Some(line) = line.strip_suffix(b"\n") else {
            self.state = State::Ended;
            return Ok(None);
        };
        let number = self.number;
        let line = line::parse(line).map_err(|source| ReadError::Malformed { number, source })?;
        Ok(self.join(line))
    }

    /// The next line with its newline; empty at the end.
    fn line(&mut self) -> Result<Vec<u8>, ReadError> {
        self.number += 1;
        let number = self.number;
        let io_error = |source| ReadError::Io { number, source };
        let mut line = Vec::new();
        let most = u64::try_from(limits::LINE_BYTES).unwrap_or(u64::MAX);
        let mut limited = self.source.by_ref().take(most);
        if let Err(source) = limited.read_until(b'\n', &mut line) {
            self.state = State::Ended;
            return Err(io_error(source));
        }
        if line.is_empty() || line.ends_with(b"\n") {
            return Ok(line);
        }
        if line.len() < limits::LINE_BYTES {
            return Err(ReadError::Unended { number });
        }
        if let Err(source) = self.source.skip_until(b'\n') {
            self.state = State::Ended;
            return Err(io_error(source));
        }
        Err(ReadError::TooLong { number })
    }

    /// Puts the line to its stream's open entry; gives the entry if it is complete.
    fn join(&mut self, line: Line<'_>) -> Option<Entry> {
        let open = match line.stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let mut entry = open.take().unwrap_or(Entry {
            time: line.time,
            stream: line.stream,
            text: Vec::new(),
            end: LineEnd::Open,
        });
        entry.text.extend_from_slice(line.text);
        if line.tag == Tag::Full {
            entry.end = LineEnd::Newline;
        }
        let full = entry.text.len() + limits::TEXT_BYTES > limits::ENTRY_BYTES;
        if full || entry.end == LineEnd::Newline {
            return Some(entry);
        }
        *open = Some(entry);
        None
    }
}

impl<R: BufRead> Iterator for Entries<R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.state == State::Reading {
            if let Some(item) = self.entry().transpose() {
                return Some(item);
            }
        }
        self.stdout.take().or_else(|| self.stderr.take()).map(Ok)
    }
}
