//! One stream of a process's output. The agent keeps what has not been acknowledged, so a caller that lost the stream, or itself, opens
//! it again at its last acknowledged offset and misses nothing.

use agent::stdio::{HELD, MAX_CHUNK_BYTES, Open, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{
    Output, call::lost, connect::Connector, error::AgentError, request::ProcessRef,
    stdin::open_stream,
};

/// The output, from an offset on.
#[derive(Debug)]
pub struct OutputStream {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    /// First byte that has not been read.
    offset: u64,
    /// A chunk's length that is still arriving.
    header: [u8; 4],
    arrived: usize,
    chunk_left: usize,
    ended: bool,
}

const CALL: &str = "read output";

impl OutputStream {
    pub(crate) async fn open(
        connector: &Connector,
        process: &ProcessRef,
        output: Output,
        offset: u64,
    ) -> Result<Self, AgentError> {
        let request = Open {
            stream: match output {
                Output::Stdout => Stream::Stdout,
                Output::Stderr => Stream::Stderr,
            },
            container_id: process.container_id.clone(),
            exec_id: process.exec_id.clone(),
            offset,
        };
        let (stream, theirs) = open_stream(connector, &request).await?;
        if theirs != offset && offset != HELD {
            return Err(AgentError::broken(
                CALL,
                "the agent opened it at another offset",
            ));
        }
        Ok(Self::new(stream, theirs))
    }

    fn new(stream: UnixStream, offset: u64) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            reader,
            writer,
            offset,
            header: [0; 4],
            arrived: 0,
            chunk_left: 0,
            ended: false,
        }
    }

    /// Reads some bytes; 0 is the end of the output, and only that. May be dropped and called again without losing any.
    ///
    /// # Errors
    /// [`AgentError::Lost`] when the connection ended, which says nothing about the output.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, AgentError> {
        while self.chunk_left == 0 {
            if self.ended {
                return Ok(0);
            }
            self.read_header().await?;
        }
        let most = buffer.len().min(self.chunk_left);
        let wanted = buffer.get_mut(..most).unwrap_or_default();
        let count = self.reader.read(wanted).await.map_err(lost(CALL))?;
        if count == 0 && most > 0 {
            return Err(AgentError::broken(CALL, "the connection ended"));
        }
        self.chunk_left -= count;
        self.offset += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }

    async fn read_header(&mut self) -> Result<(), AgentError> {
        let rest = self.header.get_mut(self.arrived..).unwrap_or_default();
        let count = self.reader.read(rest).await.map_err(lost(CALL))?;
        if count == 0 {
            return Err(AgentError::broken(CALL, "the connection ended"));
        }
        self.arrived += count;
        if self.arrived < self.header.len() {
            return Ok(());
        }
        self.arrived = 0;
        let length = usize::try_from(u32::from_le_bytes(self.header)).unwrap_or(usize::MAX);
        if length > MAX_CHUNK_BYTES {
            return Err(AgentError::broken(
                CALL,
                format!("a chunk of {length} bytes"),
            ));
        }
        self.ended = length == 0;
        self.chunk_left = length;
        Ok(())
    }

    /// First byte that has not been read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Tells the agent that every byte before `offset` is safe here and need not be kept. Without that the process stops when the
    /// agent holds 256 KiB. An offset that has not been read yet makes the agent close the connection.
    ///
    /// # Errors
    /// [`AgentError::Lost`] when the connection ended.
    pub async fn acknowledge(&mut self, offset: u64) -> Result<(), AgentError> {
        self.writer
            .write_all(&offset.to_le_bytes())
            .await
            .map_err(lost(CALL))
    }
}

#[cfg(test)]
mod tests;
