//! One line of a log: its form, written and parsed. Pure.
//!
//! Main types: [`Line`] and [`Stream`]. Above: `cut` writes lines, `read` and `resume` parse them.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::limits;

/// Which output of the container. With a terminal there is only the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// As it stands in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Whether the text had a newline behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `F`: it had.
    Full,
    /// `P`: the line goes on in the stream's next line of the log, or the stream ended.
    Partial,
}

/// A line without its newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When the bytes were handed to the log.
    pub time: SystemTime,
    pub stream: Stream,
    pub tag: Tag,
    pub text: &'a [u8],
}

impl Line<'_> {
    /// How many bytes of the stream the line stands for.
    #[must_use]
    pub fn stream_bytes(&self) -> u64 {
        let newline = match self.tag {
            Tag::Full => 1,
            Tag::Partial => 0,
        };
        u64::try_from(self.text.len()).unwrap_or(u64::MAX - 1) + newline
    }
}

/// Why bytes are no line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("parse the time: it is not as in 2026-11-22T10:00:00.123456789Z")]
    Time,
    #[error("parse the stream: it is neither stdout nor stderr")]
    Stream,
    #[error("parse the tag: it is neither F nor P")]
    Tag,
    #[error("take a text of {length} bytes, the limit is {}", limits::TEXT_BYTES)]
    Text { length: usize },
}

/// Parses a line without its newline.
///
/// # Errors
/// When it is not in the form that this crate writes.
pub fn parse(line: &[u8]) -> Result<Line<'_>, Malformed> {
    let (time, rest) = word(line).ok_or(Malformed::Time)?;
    let time = std::str::from_utf8(time)
        .ok()
        .and_then(|time| humantime::parse_rfc3339(time).ok())
        .ok_or(Malformed::Time)?;
    let (name, rest) = word(rest).ok_or(Malformed::Stream)?;
    let stream = Stream::ALL
        .into_iter()
        .find(|stream| stream.name().as_bytes() == name)
        .ok_or(Malformed::Stream)?;
    let (tag, text) = word(rest).ok_or(Malformed::Tag)?;
    let tag = match tag {
        b"F" => Tag::Full,
        b"P" => Tag::Partial,
        _ => return Err(Malformed::Tag),
    };
    if text.len() > limits::TEXT_BYTES {
        return Err(Malformed::Text { length: text.len() });
    }
    Ok(Line {
        time,
        stream,
        tag,
        text,
    })
}

/// What stands before the first space, and what behind it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = bytes.splitn(2, |byte| *byte == b' ');
    Some((parts.next()?, parts.next()?))
}

/// A time as it stands in the log, formatted once per append.
#[derive(Debug)]
pub(crate) struct Stamp(String);

impl Stamp {
    /// A clock outside of the years 1970 to 9999 is taken to the nearest of them: the format has no
    /// others, and a log is not lost to a bad clock.
    pub(crate) fn new(time: SystemTime) -> Self {
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let time = time.clamp(SystemTime::UNIX_EPOCH, last);
        Self(humantime::format_rfc3339_nanos(time).to_string())
    }
}

pub(crate) fn write(out: &mut Vec<u8>, stamp: &Stamp, stream: Stream, tag: Tag, text: &[u8]) {
    out.extend_from_slice(stamp.0.as_bytes());
    out.push(b' ');
    out.extend_from_slice(stream.name().as_bytes());
    out.extend_from_slice(match tag {
        Tag::Full => b" F ",
        Tag::Partial => b" P ",
    });
    out.extend_from_slice(text);
    out.push(b'\n');
}
