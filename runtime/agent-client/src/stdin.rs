//! A process's standard input, and the frames by which streams of both directions are opened.

use agent::stdio::{MAX_CHUNK_BYTES, OPENED_HEADER_BYTES, Open, Opened, Stream};
use bytes::Buf;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::{
    call::lost,
    connect::Connector,
    deadlines::{MOST_CHUNKS_UNDER_WAY, OPEN_DEADLINE},
    error::AgentError,
    request::ProcessRef,
    text::shown,
};

/// The input. One chunk is on its way at a time, or a few with [`StdinSink::write_ahead`]: the process's pace is the caller's.
#[derive(Debug)]
pub struct StdinSink {
    stream: UnixStream,
    /// Every byte before it has been given to the process.
    offset: u64,
    /// Offset behind the last byte sent.
    sent: u64,
    /// Chunks that have not been acknowledged; the agent does so once for each.
    under_way: usize,
}

const CALL: &str = "write standard input";

impl StdinSink {
    pub(crate) async fn open(
        connector: &Connector,
        process: &ProcessRef,
        offset: u64,
    ) -> Result<Self, AgentError> {
        let request = Open {
            stream: Stream::Stdin,
            container_id: process.container_id.clone(),
            exec_id: process.exec_id.clone(),
            offset,
        };
        let (stream, taken) = open_stream(connector, &request).await?;
        if taken < offset {
            return Err(AgentError::broken(CALL, "the agent opened it with a gap"));
        }
        Ok(Self {
            stream,
            offset: taken,
            sent: taken,
            under_way: 0,
        })
    }

    /// First byte that the process has not been given.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Sends some bytes, at most one chunk, and waits until the process has been given them; returns how many. Not to be called again
    /// after it was dropped half way: open the stream anew instead.
    ///
    /// # Errors
    /// [`AgentError::Lost`] when the connection ended. If the process has closed its standard input, opening again says so.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, AgentError> {
        let count = self.send(bytes).await?;
        self.catch_up(0).await?;
        Ok(count)
    }

    /// The same without the wait, as long as only few chunks are under way: for a caller that never opens the stream anew, because then
    /// what is under way may be lost.
    ///
    /// # Errors
    /// As [`StdinSink::write`].
    pub async fn write_ahead(&mut self, bytes: &[u8]) -> Result<usize, AgentError> {
        self.catch_up(MOST_CHUNKS_UNDER_WAY - 1).await?;
        self.send(bytes).await
    }

    /// Ends the process's input, when it has been given all.
    ///
    /// # Errors
    /// [`AgentError::Lost`] when the connection ended.
    pub async fn close(&mut self) -> Result<(), AgentError> {
        self.catch_up(0).await?;
        self.stream
            .write_all(&0u32.to_le_bytes())
            .await
            .map_err(lost(CALL))
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<usize, AgentError> {
        let chunk = bytes
            .get(..bytes.len().min(MAX_CHUNK_BYTES))
            .unwrap_or_default();
        let length = u32::try_from(chunk.len()).unwrap_or(0);
        if length == 0 {
            return Ok(0);
        }
        let header = length.to_le_bytes();
        let mut frame = Buf::chain(header.as_slice(), chunk);
        self.stream
            .write_all_buf(&mut frame)
            .await
            .map_err(lost(CALL))?;
        self.sent += u64::from(length);
        self.under_way += 1;
        Ok(chunk.len())
    }

    /// Reads acknowledgements until no more than so many chunks are under way.
    async fn catch_up(&mut self, most: usize) -> Result<(), AgentError> {
        while self.under_way > most {
            let offset = self.stream.read_u64_le().await.map_err(lost(CALL))?;
            if offset <= self.offset || offset > self.sent {
                return Err(AgentError::broken(
                    CALL,
                    "it acknowledged what was not sent",
                ));
            }
            self.offset = offset;
            self.under_way -= 1;
        }
        Ok(())
    }
}

/// Connects and opens one stream of a process, at the offset that comes with it. A refusal is [`AgentError::NotFound`].
pub(crate) async fn open_stream(
    connector: &Connector,
    request: &Open,
) -> Result<(UnixStream, u64), AgentError> {
    let frame = request.encode().map_err(|error| AgentError::Invalid {
        message: error.to_string(),
    })?;
    open(connector, &frame).await
}

/// Connects, says what for with this frame, and hears the answer. A refusal is [`AgentError::NotFound`].
pub(crate) async fn open(
    connector: &Connector,
    frame: &[u8],
) -> Result<(UnixStream, u64), AgentError> {
    const CALL: &str = "open a stream";
    let open = async {
        let mut stream = connector.stdio().await.map_err(lost(CALL))?;
        stream.write_all(frame).await.map_err(lost(CALL))?;
        let mut header = [0; OPENED_HEADER_BYTES];
        stream.read_exact(&mut header).await.map_err(lost(CALL))?;
        let header = Opened::decode_header(&header)
            .map_err(|error| AgentError::broken(CALL, error.to_string()))?;
        let mut text = vec![0; header.text_bytes];
        stream.read_exact(&mut text).await.map_err(lost(CALL))?;
        match Opened::decode_text(header, &text) {
            Opened::Refused { reason } => Err(AgentError::NotFound {
                message: shown(&reason),
            }),
            Opened::Ready { offset } => Ok((stream, offset)),
        }
    };
    timeout(OPEN_DEADLINE, open)
        .await
        .unwrap_or(Err(AgentError::Deadline { call: CALL }))
}
