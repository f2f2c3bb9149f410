//! A process's standard input, and the frames by which streams of both directions are opened.

use agent::stdio::{MAX_CHUNK_BYTES, OPENED_HEADER_BYTES, Open, Opened, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::{
    call::lost, connect::Connector, deadlines::OPEN_DEADLINE, error::AgentError,
    request::ProcessRef, text::shown,
};

/// The input. One chunk is on its way at a time: the process's pace is the caller's.
#[derive(Debug)]
pub struct StdinSink {
    stream: UnixStream,
    /// Every byte before it has been given to the process.
    offset: u64,
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
        let (stream, taken) = open(connector, request).await?;
        if taken < offset {
            return Err(AgentError::broken(CALL, "the agent opened it with a gap"));
        }
        Ok(Self {
            stream,
            offset: taken,
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
        let chunk = bytes
            .get(..bytes.len().min(MAX_CHUNK_BYTES))
            .unwrap_or_default();
        let length = u32::try_from(chunk.len()).unwrap_or(0);
        if length == 0 {
            return Ok(0);
        }
        self.stream
            .write_all(&length.to_le_bytes())
            .await
            .map_err(lost(CALL))?;
        self.stream.write_all(chunk).await.map_err(lost(CALL))?;
        let target = self.offset + u64::from(length);
        while self.offset < target {
            let offset = self.stream.read_u64_le().await.map_err(lost(CALL))?;
            if offset < self.offset || offset > target {
                return Err(AgentError::broken(
                    CALL,
                    "it acknowledged what was not sent",
                ));
            }
            self.offset = offset;
        }
        Ok(chunk.len())
    }

    /// Ends the process's input.
    ///
    /// # Errors
    /// [`AgentError::Lost`] when the connection ended.
    pub async fn close(&mut self) -> Result<(), AgentError> {
        self.stream
            .write_all(&0u32.to_le_bytes())
            .await
            .map_err(lost(CALL))
    }
}

/// Connects and opens one stream, at the offset that comes with it. A refusal is [`AgentError::NotFound`].
pub(crate) async fn open(
    connector: &Connector,
    request: Open,
) -> Result<(UnixStream, u64), AgentError> {
    const CALL: &str = "open a stream";
    let frame = request.encode().map_err(|error| AgentError::Invalid {
        message: error.to_string(),
    })?;
    let open = async {
        let mut stream = connector.stdio().await.map_err(lost(CALL))?;
        stream.write_all(&frame).await.map_err(lost(CALL))?;
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
