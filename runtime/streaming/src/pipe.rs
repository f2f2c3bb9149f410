//! The two ends of a stream inside the server, the same for SPDY and WebSocket. Main types: [`Inbound`], what a client sends on a stream;
//! [`Outbound`], where a session sends to it. Above: `remote_command`, `port_forward`. Below: the connections of both protocols.
//!
//! Every queue is bounded: whoever is faster waits.

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::{
    backend::{Sink, Source},
    limits,
};

/// What comes on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Data(Bytes),
    /// The client closed its side.
    End,
}

/// What goes out on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Data {
        stream: u32,
        bytes: Bytes,
    },
    /// Nothing more comes on this stream.
    End {
        stream: u32,
    },
    /// Nothing more goes either way.
    Reset {
        stream: u32,
    },
}

/// What a client sends on one stream.
#[derive(Debug)]
pub(crate) struct Inbound(mpsc::Receiver<Piece>);

/// Where one stream of a client is.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    stream: u32,
    queue: mpsc::Sender<Outgoing>,
}

/// The connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("send to the client: it is gone")]
pub(crate) struct Gone;

/// A stream's way in: a connection sends, a session receives.
pub(crate) fn inbound() -> (mpsc::Sender<Piece>, Inbound) {
    let (sender, receiver) = mpsc::channel(limits::PIECES_AHEAD);
    (sender, Inbound(receiver))
}

impl Inbound {
    /// The next piece; `None` when the stream was reset or the client is gone.
    pub(crate) async fn next(&mut self) -> Option<Piece> {
        self.0.recv().await
    }

    /// Waits until the stream is reset or the client is gone, past all that comes before.
    pub(crate) async fn reset(&mut self) {
        while self.next().await.is_some() {}
    }
}

impl Outbound {
    pub(crate) fn new(stream: u32, queue: mpsc::Sender<Outgoing>) -> Self {
        Self { stream, queue }
    }

    pub(crate) async fn data(&self, bytes: Bytes) -> Result<(), Gone> {
        let stream = self.stream;
        self.send(Outgoing::Data { stream, bytes }).await
    }

    pub(crate) async fn end(&self) -> Result<(), Gone> {
        let stream = self.stream;
        self.send(Outgoing::End { stream }).await
    }

    pub(crate) async fn reset(&self) -> Result<(), Gone> {
        let stream = self.stream;
        self.send(Outgoing::Reset { stream }).await
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(), Gone> {
        let sent = self.queue.send(outgoing).await;
        sent.map_err(|_closed| Gone)
    }
}

/// Sends all of a source, and says that this was all. A source that fails has ended: what it was connected to is no more.
pub(crate) async fn pour(mut source: Source, to: &Outbound) -> Result<(), Gone> {
    let mut buffer = BytesMut::new();
    loop {
        // What a small read left is used by the next, so small reads cost no allocation each.
        if buffer.capacity() < limits::COPY_BYTES {
            buffer.reserve(limits::PIECE_BYTES);
        }
        match source.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_some) => to.data(buffer.split().freeze()).await?,
            Err(error) => {
                tracing::debug!(%error, "a stream of a process or a pod failed");
                break;
            }
        }
    }
    to.end().await
}

/// How what a client sends came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// The client closed its side.
    Whole,
    /// Nobody takes it any more.
    NotTaken,
    /// The client reset the stream or is gone.
    Reset,
}

/// Gives a sink all that a client sends. What it means that there is no more is the caller's.
pub(crate) async fn feed(from: &mut Inbound, sink: &mut Sink) -> Fed {
    loop {
        match from.next().await {
            Some(Piece::Data(bytes)) => {
                let written = async {
                    sink.write_all(&bytes).await?;
                    sink.flush().await
                };
                if let Err(error) = written.await {
                    tracing::debug!(%error, "a client's input is not taken any more");
                    return Fed::NotTaken;
                }
            }
            Some(Piece::End) => return Fed::Whole,
            None => return Fed::Reset,
        }
    }
}
