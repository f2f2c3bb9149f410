//! Bytes of a client to events, and events to bytes (SPDY protocol draft 3.1, 2.2). Main type: [`Decoder`]. Above: `connection`.
//!
//! Pure: no socket, no waiting. A frame's length is checked before anything is kept for it; data is handed on as it comes, so a data frame
//! may be as long as it likes.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use crate::limits;

#[cfg(test)]
mod tests;

const HEAD_BYTES: usize = 8;
const CONTROL_BIT: u32 = 1 << 31;
const VERSION: u16 = 3;
/// The last frame of its sender on a stream.
const FIN: u8 = 1;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// What a client's frames say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It opens a stream.
    Open {
        /// The stream's id.
        stream: u32,
        /// Its headers, compressed.
        block: Bytes,
        /// It will send nothing on it.
        fin: bool,
    },
    /// It adds headers to a stream, or answers one of ours: of no interest, but the compression goes on through them.
    Headers {
        /// The headers, compressed.
        block: Bytes,
    },
    /// It wants no more of a stream.
    Reset {
        /// The stream's id.
        stream: u32,
    },
    /// It asks whether we are there.
    Ping {
        /// To be given back.
        id: u32,
    },
    /// It goes.
    GoAway,
    /// It sends on a stream. A frame that is longer than a piece makes several of these.
    Data {
        /// The stream's id.
        stream: u32,
        /// What it sends; may be empty.
        bytes: Bytes,
        /// It sends nothing more on it.
        fin: bool,
    },
}

/// Why what came can't be SPDY/3.1. The connection is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Another version, or no SPDY at all.
    #[error("read a frame of SPDY/3.1: its version is {0}")]
    Version(u16),
    /// More than is ever needed.
    #[error("read a control frame: {0} bytes, at most {most}", most = limits::CONTROL_FRAME_BYTES)]
    TooLong(usize),
    /// Fewer bytes than its type has.
    #[error("read a control frame of type {kind}: {length} bytes are not enough")]
    TooShort {
        /// Its type.
        kind: u16,
        /// What it has.
        length: usize,
    },
    /// Stream 0 is the connection.
    #[error("read a frame of a stream: there is no stream 0")]
    NoStream,
}

/// Takes bytes as they come and gives events.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// The data frame that we are in.
    within: Option<DataFrame>,
}

#[derive(Debug, Clone, Copy)]
struct DataFrame {
    stream: u32,
    left: usize,
    fin: bool,
}

impl Decoder {
    /// A decoder of what came already.
    #[must_use]
    pub fn new(buffer: BytesMut) -> Self {
        Self {
            buffer,
            within: None,
        }
    }

    /// Where the next bytes belong; call [`Self::next`] until it gives nothing before reading more, which bounds it.
    pub fn room(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < limits::COPY_BYTES {
            self.buffer.reserve(limits::READ_BYTES);
        }
        &mut self.buffer
    }

    /// The next event; `None` when it takes more bytes to know.
    ///
    /// # Errors
    ///
    /// What came is no SPDY/3.1.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator ends; this goes on when more bytes have come"
    )]
    pub fn next(&mut self) -> Result<Option<Event>, FrameError> {
        loop {
            if let Some(frame) = self.within {
                return Ok(self.piece(frame));
            }
            let Some((word, flags, length)) = self.head() else {
                return Ok(None);
            };
            if word & CONTROL_BIT == 0 {
                self.buffer.advance(HEAD_BYTES);
                self.within = Some(data_frame(word, flags, length)?);
                continue;
            }
            if length > limits::CONTROL_FRAME_BYTES {
                return Err(FrameError::TooLong(length));
            }
            let kind = kind(word)?;
            if self.buffer.len() < HEAD_BYTES + length {
                return Ok(None);
            }
            self.buffer.advance(HEAD_BYTES);
            let body = self.take(length);
            if let Some(event) = control(kind, flags, body)? {
                return Ok(Some(event));
            }
        }
    }

    /// First word, flags and length of the frame that begins here.
    fn head(&self) -> Option<(u32, u8, usize)> {
        let mut head = self.buffer.get(..HEAD_BYTES)?;
        let word = head.get_u32();
        let flags = head.get_u8();
        let length = head.get_uint(3);
        Some((word, flags, usize::try_from(length).ok()?))
    }

    fn piece(&mut self, frame: DataFrame) -> Option<Event> {
        let DataFrame { stream, left, fin } = frame;
        let length = left.min(self.buffer.len()).min(limits::PIECE_BYTES);
        if length == 0 && left > 0 {
            return None;
        }
        let bytes = self.take(length);
        let left = left - length;
        self.within = (left > 0).then_some(DataFrame { left, ..frame });
        Some(Event::Data {
            stream,
            bytes,
            fin: fin && left == 0,
        })
    }

    fn take(&mut self, length: usize) -> Bytes {
        if length >= limits::COPY_BYTES {
            return self.buffer.split_to(length).freeze();
        }
        let bytes = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
        self.buffer.advance(bytes.len());
        bytes
    }
}

fn data_frame(word: u32, flags: u8, length: usize) -> Result<DataFrame, FrameError> {
    match word {
        0 => Err(FrameError::NoStream),
        stream => Ok(DataFrame {
            stream,
            left: length,
            fin: flags & FIN != 0,
        }),
    }
}

/// The type of a control frame, from its first word.
fn kind(word: u32) -> Result<u16, FrameError> {
    let [version_high, version_low, kind_high, kind_low] = (word & !CONTROL_BIT).to_be_bytes();
    match u16::from_be_bytes([version_high, version_low]) {
        VERSION => Ok(u16::from_be_bytes([kind_high, kind_low])),
        other => Err(FrameError::Version(other)),
    }
}

/// What a control frame says; `None` for those that say nothing to a server without flow control (SETTINGS, WINDOW_UPDATE) and for
/// types that nobody knows, which are to be ignored (2.2.1).
fn control(kind: u16, flags: u8, mut body: Bytes) -> Result<Option<Event>, FrameError> {
    let length = body.len();
    let too_short = |_error| FrameError::TooShort { kind, length };
    let mut word = || body.try_get_u32().map_err(too_short);
    let event = match kind {
        SYN_STREAM => {
            let stream = stream_id(word()?)?;
            // The stream that it belongs to, priority and slot (2.6.1).
            let _associated = word()?;
            body.try_get_u16().map_err(too_short)?;
            let fin = flags & FIN != 0;
            let block = body;
            Event::Open { stream, block, fin }
        }
        SYN_REPLY | HEADERS => {
            let _stream = word()?;
            Event::Headers { block: body }
        }
        RST_STREAM => Event::Reset {
            stream: stream_id(word()?)?,
        },
        PING => Event::Ping { id: word()? },
        GOAWAY => Event::GoAway,
        _ => return Ok(None),
    };
    Ok(Some(event))
}

fn stream_id(word: u32) -> Result<u32, FrameError> {
    match word & !CONTROL_BIT {
        0 => Err(FrameError::NoStream),
        stream => Ok(stream),
    }
}

/// Why a stream is reset (2.6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Reset {
    ProtocolError = 1,
    Refused = 3,
    Cancel = 5,
}

/// Why a connection is closed (2.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Farewell {
    Ok = 0,
    ProtocolError = 1,
}

/// The head of a data frame. A session's pieces are far shorter than the 24 bits of a length.
pub(crate) fn data_head(stream: u32, length: usize, fin: bool) -> [u8; HEAD_BYTES] {
    let length = u32::try_from(length).unwrap_or(u32::MAX) & 0x00ff_ffff;
    let flags = if fin { u32::from(FIN) << 24 } else { 0 };
    two_words(stream & !CONTROL_BIT, flags | length)
}

pub(crate) fn syn_reply(stream: u32, block: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + block.len()).unwrap_or(u32::MAX);
    let mut frame = two_words(control_word(SYN_REPLY), length).to_vec();
    frame.extend(stream.to_be_bytes());
    frame.extend(block);
    frame
}

pub(crate) fn rst_stream(stream: u32, reset: Reset) -> Vec<u8> {
    let head = two_words(control_word(RST_STREAM), 8);
    [head, two_words(stream, reset as u32)].concat()
}

pub(crate) fn ping(id: u32) -> Vec<u8> {
    let mut frame = two_words(control_word(PING), 4).to_vec();
    frame.extend(id.to_be_bytes());
    frame
}

pub(crate) fn goaway(last_stream: u32, farewell: Farewell) -> Vec<u8> {
    let head = two_words(control_word(GOAWAY), 8);
    [head, two_words(last_stream, farewell as u32)].concat()
}

fn control_word(kind: u16) -> u32 {
    CONTROL_BIT | u32::from(VERSION) << 16 | u32::from(kind)
}

fn two_words(first: u32, second: u32) -> [u8; 8] {
    let words = u64::from(first) << 32 | u64::from(second);
    words.to_be_bytes()
}
