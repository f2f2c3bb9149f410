//! The log file of one container, in the format that Kubernetes reads, without a byte lost or
//! repeated when the writer is killed at any instant and started again.
//!
//! [`LogFile`] takes the bytes of stdout and stderr with their offsets, writes whole lines and says
//! up to which offset a stream is safe. [`Entries`] reads a log back. Above: `pod`, whose pump keeps
//! what is not safe yet in the guest; it calls from a blocking thread, for everything here blocks.
//! Below: the file system.
//!
//! # The format
//!
//! `2026-11-22T10:00:00.123456789Z stdout F text\n`: a time in UTC, the stream, `F` where the text
//! had a newline behind it and `P` where it had none, and the text as it came, whatever its bytes.
//! A line longer than [`limits::TEXT_BYTES`] is cut into `P` pieces and ends with an `F`. What has
//! no newline when the stream ends is a `P`, so that no byte is invented. Every time has nine
//! digits: a line written anew after a crash is as long as it was.
//!
//! # Exactly once
//!
//! The position file (on a tmpfs: it need not outlive the machine) says which file is being written,
//! up to which length, and which offsets of both streams that length stands for. An append is
//!
//! 1. one write(2) of all its lines to the log,
//! 2. one pwrite(2) of the position.
//!
//! Killed before 1: neither has the bytes, and the guest still does. Killed after 2: both have them.
//! Killed within 1 or between: the log is longer than its position says. [`LogFile::resume`] counts
//! the bytes of the whole lines behind that length, so they stand and the streams go on behind them;
//! half a line at the end is cut off, and its bytes come again from the guest. Whole lines are kept
//! rather than written a second time because a log that shrinks looks like a new one to those who
//! follow it.
//!
//! A rotation ([`LogFile::reopen`]) is an open(2) of the new file, then a pwrite(2) of the position.
//! Between the two the position names the old file, which `resume` finds in the folder under its new
//! name, by device, inode and time of birth. See [`Found`] for what it does with that, and for what
//! is lost or repeated when others changed the files.

pub mod limits;

mod calls;
mod cut;
mod error;
mod file;
#[cfg(test)]
mod kubelet;
mod line;
mod log_file;
mod position;
mod read;
mod resume;

pub use error::LogError;
pub use line::{Line, Malformed, Stream, Tag, parse};
pub use log_file::LogFile;
pub use read::{Entries, Entry, LineEnd, ReadError};
pub use resume::Found;
