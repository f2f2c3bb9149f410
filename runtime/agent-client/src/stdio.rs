//! One stdio stream of one process, over a connection of its own. Main types: [`OutputStream`], [`StdinStream`]. The frames are
//! `agent::stdio`'s.

use std::io;

use agent::stdio::{FrameError, MAX_CHUNK_BYTES, OPENED_HEADER_BYTES, Open, Opened, WINDOW_BYTES};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

pub use agent::stdio::Stream;

use crate::{
    connect::{Address, ConnectError},
    error::shown,
    limits,
};

/// Whose stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamId {
    /// The container.
    pub container_id: String,
    /// The process; empty for the container's first one.
    pub exec_id: String,
}

/// A stream could not be opened, or broke.
#[derive(Debug, Error)]
pub enum StdioError {
    /// No connection.
    #[error("open the {stream:?} stream")]
    Connect {
        /// Which.
        stream: Stream,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The agent has no such stream.
    #[error("the agent refused the {stream:?} stream: {reason}")]
    Refused {
        /// Which.
        stream: Stream,
        /// Its sentence.
        reason: String,
    },
    /// The connection ended, with bytes still to come.
    #[error("the {stream:?} stream broke off")]
    Broken {
        /// Which.
        stream: Stream,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The agent broke the frame format.
    #[error("the agent broke the {stream:?} stream's format")]
    Format {
        /// Which.
        stream: Stream,
        /// How.
        #[source]
        source: FrameError,
    },
    /// The agent's offsets do not fit together.
    #[error("the agent's {stream:?} stream is at byte {theirs}, this side at {ours}")]
    Offset {
        /// Which.
        stream: Stream,
        /// What this side counted.
        ours: u64,
        /// What the agent said.
        theirs: u64,
    },
}

async fn open(
    address: &Address,
    id: &StreamId,
    stream: Stream,
    offset: u64,
) -> Result<(UnixStream, u64), StdioError> {
    let connected = address.stdio().await;
    let mut connection = connected.map_err(|source| StdioError::Connect { stream, source })?;
    let open = Open {
        stream,
        container_id: id.container_id.clone(),
        exec_id: id.exec_id.clone(),
        offset,
    };
    let format = |source| StdioError::Format { stream, source };
    let broken = |source| StdioError::Broken { stream, source };
    let frame = open.encode().map_err(format)?;
    connection.write_all(&frame).await.map_err(broken)?;
    let mut header = [0; OPENED_HEADER_BYTES];
    connection.read_exact(&mut header).await.map_err(broken)?;
    let header = Opened::decode_header(&header).map_err(format)?;
    let mut text = vec![0; header.text_bytes];
    connection.read_exact(&mut text).await.map_err(broken)?;
    match Opened::decode_text(header, &text) {
        Opened::Ready { offset } => Ok((connection, offset)),
        Opened::Refused { reason } => Err(StdioError::Refused {
            stream,
            reason: shown(&reason),
        }),
    }
}

/// Standard output or error of a process.
#[derive(Debug)]
pub struct OutputStream {
    stream: Stream,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    buffer: Vec<u8>,
    /// Every byte before this has been handed out.
    read: u64,
    /// Every byte before this is safe, the caller said.
    safe: u64,
    /// What the agent has been told of `safe`.
    told: u64,
}

impl OutputStream {
    pub(crate) async fn open(
        address: &Address,
        id: &StreamId,
        stream: Stream,
        offset: u64,
    ) -> Result<Self, StdioError> {
        let (connection, theirs) = open(address, id, stream, offset).await?;
        if theirs != offset {
            return Err(StdioError::Offset {
                stream,
                ours: offset,
                theirs,
            });
        }
        let (reader, writer) = connection.into_split();
        let buffer = vec![0; limits::READ_BYTES];
        Ok(Self {
            stream,
            reader,
            writer,
            buffer,
            read: offset,
            safe: offset,
            told: offset,
        })
    }

    /// The next bytes; empty at the end of the stream. Bytes are kept by the guest until [`OutputStream::acknowledge`].
    ///
    /// # Errors
    /// When the connection breaks; the stream can be opened again at [`OutputStream::offset`].
    pub async fn next(&mut self) -> Result<&[u8], StdioError> {
        let count = self.reader.read(&mut self.buffer).await;
        let count = count.map_err(|source| StdioError::Broken {
            stream: self.stream,
            source,
        })?;
        self.read += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(self.buffer.get(..count).unwrap_or_default())
    }

    /// Everything that [`OutputStream::next`] has handed out is safe: the guest may forget it. Sent when enough has come together.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn acknowledge(&mut self) -> Result<(), StdioError> {
        self.safe = self.read;
        if self.safe - self.told < limits::ACKNOWLEDGE_BYTES {
            return Ok(());
        }
        let sent = self.writer.write_all(&self.safe.to_le_bytes()).await;
        sent.map_err(|source| StdioError::Broken {
            stream: self.stream,
            source,
        })?;
        self.told = self.safe;
        Ok(())
    }

    /// Every byte before this is safe.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.safe
    }
}

/// Standard input of a process.
#[derive(Debug)]
pub struct StdinStream {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    /// Bytes sent.
    sent: u64,
    /// Bytes that the process has been given.
    taken: u64,
}

impl StdinStream {
    pub(crate) async fn open(
        address: &Address,
        id: &StreamId,
        offset: u64,
    ) -> Result<Self, StdioError> {
        let (connection, theirs) = open(address, id, Stream::Stdin, offset).await?;
        if theirs != offset {
            return Err(StdioError::Offset {
                stream: Stream::Stdin,
                ours: offset,
                theirs,
            });
        }
        let (reader, writer) = connection.into_split();
        Ok(Self {
            reader,
            writer,
            sent: offset,
            taken: offset,
        })
    }

    /// Sends bytes; waits while the process has a window's worth unread.
    ///
    /// # Errors
    /// When the connection breaks, which also is what a process that closed its input looks like.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StdioError> {
        for chunk in bytes.chunks(MAX_CHUNK_BYTES) {
            self.chunk(chunk).await?;
            self.sent += u64::try_from(chunk.len()).unwrap_or(0);
            while self.sent - self.taken > WINDOW_BYTES as u64 {
                self.acknowledged().await?;
            }
        }
        Ok(())
    }

    /// The process reads end of file after what has been sent.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn close(&mut self) -> Result<(), StdioError> {
        self.chunk(&[]).await
    }

    async fn chunk(&mut self, chunk: &[u8]) -> Result<(), StdioError> {
        let broken = |source| StdioError::Broken {
            stream: Stream::Stdin,
            source,
        };
        let length = u32::try_from(chunk.len()).unwrap_or(0);
        self.writer
            .write_all(&length.to_le_bytes())
            .await
            .map_err(broken)?;
        self.writer.write_all(chunk).await.map_err(broken)
    }

    async fn acknowledged(&mut self) -> Result<(), StdioError> {
        let broken = |source| StdioError::Broken {
            stream: Stream::Stdin,
            source,
        };
        let theirs = self.reader.read_u64_le().await.map_err(broken)?;
        if theirs < self.taken || theirs > self.sent {
            return Err(StdioError::Offset {
                stream: Stream::Stdin,
                ours: self.sent,
                theirs,
            });
        }
        self.taken = theirs;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
