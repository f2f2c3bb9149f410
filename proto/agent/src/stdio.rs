//! The wire format of one stdio stream: a vsock connection to `STDIO_PORT`, opened by the host, that carries one direction of
//! one stream of one process. Pure encoding, used by `agent-client` and `agentd`.
//!
//! ```text
//! host → guest   Open      "CFIO" version:u8 stream:u8 id_len:u16 offset:u64 container_id '\0' exec_id
//! guest → host   Opened    status:u8 text_len:u16 offset:u64 text
//!
//! stdout, stderr: guest → host  chunks, from `offset` on
//!                 host → guest  u64 acknowledgements: every byte before this offset is safe on the host
//! stdin:          host → guest  chunks, from the `Opened` frame's offset on
//!                 guest → host  u64 acknowledgements: every byte before this offset has been given to the process
//!
//! chunk           len:u32, at most MAX_CHUNK_BYTES, then len bytes; len 0 is the end of file
//! ```
//!
//! All integers are little endian. Offsets count the bytes of the stream since the process was started. The guest keeps
//! output until it is acknowledged, at most [`WINDOW_BYTES`]; then it stops reading from the process. A host that comes back
//! opens the stream again at its last acknowledged offset: nothing is lost, nothing is repeated. A new connection for the same stream
//! takes over from the old one, which the guest closes. A connection that ends without an end of file says nothing about the stream:
//! that is why the end of file is a chunk and not the end of the connection, which a killed monitor would look like.
//!
//! An offset that the guest no longer or not yet knows is refused; a host that has kept none opens output at [`HELD`]. A process that
//! closes its standard input, or ends, makes the guest close the connection of stdin and refuse a new one, as it does after the end of
//! file; an end of file on a terminal is its VEOF character (^D). A stream can be opened until its container is removed, also when it
//! has ended.

use thiserror::Error;

/// First bytes of an `Open` frame.
pub const MAGIC: [u8; 4] = *b"CFIO";

/// Version of this format, in the `Open` frame.
pub const VERSION: u8 = 1;

/// Offset in an `Open` frame for output: from the first byte that the guest holds, which its `Opened` frame tells.
pub const HELD: u64 = u64::MAX;

/// Output that the guest holds for a stream until the host acknowledges it, in bytes.
pub const WINDOW_BYTES: usize = 256 * 1024;

/// Largest chunk, in bytes.
pub const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// Size of the part of an `Open` frame before its ids, in bytes.
pub const OPEN_HEADER_BYTES: usize = 16;

/// Size of the part of an `Opened` frame before its text, in bytes.
pub const OPENED_HEADER_BYTES: usize = 11;

/// Largest sum of both ids in an `Open` frame, in bytes.
pub const MAX_IDS_BYTES: usize = 512;

/// Largest text of an `Opened` frame, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Which stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard input.
    Stdin,
    /// Standard output, or all output of a terminal.
    Stdout,
    /// Standard error; there is none with a terminal.
    Stderr,
}

impl Stream {
    /// The byte that names the stream on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    fn from_code(code: u8) -> Result<Self, FrameError> {
        match code {
            0 => Ok(Self::Stdin),
            1 => Ok(Self::Stdout),
            2 => Ok(Self::Stderr),
            _ => Err(FrameError::UnknownStream { code }),
        }
    }
}

/// The host's first frame: which stream it wants, and from where on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Which of the process's streams.
    pub stream: Stream,
    /// Container that the process runs in.
    pub container_id: String,
    /// Empty for the container's first process.
    pub exec_id: String,
    /// First byte of the stream that the host does not have yet (output), or will send if it may choose (stdin).
    pub offset: u64,
}

/// The guest's answer to [`Open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The stream goes on at this offset.
    Ready {
        /// First byte that follows; for stdin, first byte that the guest has not taken yet.
        offset: u64,
    },
    /// There is no such stream, and why; the guest closes the connection.
    Refused {
        /// A sentence for people.
        reason: String,
    },
}

/// A frame that breaks the format.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The first bytes are not [`MAGIC`].
    #[error("stdio stream does not begin with CFIO")]
    NotOurs,
    /// A version that this side does not speak.
    #[error("stdio stream has version {version}, this side speaks {VERSION}")]
    UnknownVersion {
        /// What the peer said.
        version: u8,
    },
    /// A stream code above 2.
    #[error("stdio stream {code} does not exist")]
    UnknownStream {
        /// What the peer said.
        code: u8,
    },
    /// A length over the limit of its field.
    #[error("stdio frame has {length} bytes in its {field}, the limit is {limit}")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// What the peer said.
        length: usize,
        /// What this side allows.
        limit: usize,
    },
    /// A port that does not exist.
    #[error("port 0 can't be connected to")]
    NoPort,
    /// Ids that are not two UTF-8 strings with one NUL between them.
    #[error("stdio frame has ids that are not two strings")]
    BadIds,
}

/// The fixed first part of an [`Open`] frame; `ids_bytes` more follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenHeader {
    stream: Stream,
    offset: u64,
    /// How many bytes of ids follow.
    pub ids_bytes: usize,
}

impl Open {
    /// The frame's bytes.
    ///
    /// # Errors
    /// When the ids are longer than [`MAX_IDS_BYTES`] or contain a NUL.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        if self.container_id.contains('\0') || self.exec_id.contains('\0') {
            return Err(FrameError::BadIds);
        }
        let length = self.container_id.len() + 1 + self.exec_id.len();
        let ids_bytes = within("ids", length, MAX_IDS_BYTES)?;
        let mut frame = Vec::with_capacity(OPEN_HEADER_BYTES + length);
        frame.extend_from_slice(&MAGIC);
        frame.push(VERSION);
        frame.push(self.stream.code());
        frame.extend_from_slice(&ids_bytes.to_le_bytes());
        frame.extend_from_slice(&self.offset.to_le_bytes());
        frame.extend_from_slice(self.container_id.as_bytes());
        frame.push(0);
        frame.extend_from_slice(self.exec_id.as_bytes());
        Ok(frame)
    }

    /// Reads the fixed part, so that the reader knows how much follows.
    ///
    /// # Errors
    /// When the bytes are not such a header, or announce ids over the limit.
    pub fn decode_header(bytes: &[u8; OPEN_HEADER_BYTES]) -> Result<OpenHeader, FrameError> {
        let [m0, m1, m2, m3, version, stream, i0, i1, offset @ ..] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::NotOurs);
        }
        if version != VERSION {
            return Err(FrameError::UnknownVersion { version });
        }
        let ids_bytes = usize::from(u16::from_le_bytes([i0, i1]));
        within("ids", ids_bytes, MAX_IDS_BYTES)?;
        Ok(OpenHeader {
            stream: Stream::from_code(stream)?,
            offset: u64::from_le_bytes(offset),
            ids_bytes,
        })
    }

    /// Joins the fixed part and the ids that followed it.
    ///
    /// # Errors
    /// When the ids are not two UTF-8 strings with one NUL between them.
    pub fn decode_ids(header: OpenHeader, ids: &[u8]) -> Result<Self, FrameError> {
        let text = str::from_utf8(ids).map_err(|_not_utf8| FrameError::BadIds)?;
        let (container_id, exec_id) = text.split_once('\0').ok_or(FrameError::BadIds)?;
        if exec_id.contains('\0') {
            return Err(FrameError::BadIds);
        }
        Ok(Self {
            stream: header.stream,
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
            offset: header.offset,
        })
    }
}

/// The fixed first part of an [`Opened`] frame; `text_bytes` more follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedHeader {
    refused: bool,
    offset: u64,
    /// How many bytes of text follow.
    pub text_bytes: usize,
}

impl Opened {
    /// The frame's bytes. A reason longer than [`MAX_TEXT_BYTES`] is cut.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (status, offset, text) = match self {
            Self::Ready { offset } => (0, *offset, ""),
            Self::Refused { reason } => (1, 0, reason.as_str()),
        };
        let cut = text.floor_char_boundary(MAX_TEXT_BYTES);
        let text = text.get(..cut).unwrap_or_default();
        let length = u16::try_from(text.len()).unwrap_or(0);
        let mut frame = vec![status];
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&offset.to_le_bytes());
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    /// Reads the fixed part, so that the reader knows how much follows.
    ///
    /// # Errors
    /// When it announces a text over the limit.
    pub fn decode_header(bytes: &[u8; OPENED_HEADER_BYTES]) -> Result<OpenedHeader, FrameError> {
        let [status, t0, t1, offset @ ..] = *bytes;
        let text_bytes = usize::from(u16::from_le_bytes([t0, t1]));
        within("text", text_bytes, MAX_TEXT_BYTES)?;
        Ok(OpenedHeader {
            refused: status != 0,
            offset: u64::from_le_bytes(offset),
            text_bytes,
        })
    }

    /// Joins the fixed part and the text that followed it.
    #[must_use]
    pub fn decode_text(header: OpenedHeader, text: &[u8]) -> Self {
        if header.refused {
            Self::Refused {
                reason: String::from_utf8_lossy(text).into_owned(),
            }
        } else {
            Self::Ready {
                offset: header.offset,
            }
        }
    }
}

fn within(field: &'static str, length: usize, limit: usize) -> Result<u16, FrameError> {
    match u16::try_from(length) {
        Ok(short) if length <= limit => Ok(short),
        _ => Err(FrameError::TooLong {
            field,
            length,
            limit,
        }),
    }
}

#[cfg(test)]
mod tests;
