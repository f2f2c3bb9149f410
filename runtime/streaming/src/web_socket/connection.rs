//! One WebSocket connection: messages in and out, pings answered, and how it ends. Main functions: [`open`], [`serve`]. Above: `command`,
//! `forward`, `tunnel`. Below: `message`, tokio-tungstenite.
//!
//! Reading and writing run beside each other, as with SPDY: `spdy::connection` says how each side hears of the other's end.

use std::{convert::Infallible, pin::pin};

use bytes::Bytes;
use futures_util::{
    Sink, SinkExt, Stream, StreamExt,
    stream::{SplitSink, SplitStream},
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, Join, join},
    sync::{mpsc, oneshot},
    time::{error::Elapsed, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::message::{self, Encoding};
use crate::{
    deadlines::Deadlines,
    hangup::{Hangup, HungUp},
    limits,
    pipe::{Outgoing, Piece},
    spdy::Socket,
};

/// The channel on which version 5 says that another has ended.
const CLOSE: u8 = 255;

pub(super) type WebSocket<R, W> = WebSocketStream<Join<R, W>>;
pub(super) type Incoming<R, W> = SplitStream<WebSocket<R, W>>;
pub(super) type Outbox<R, W> = SplitSink<WebSocket<R, W>, Message>;

/// A socket that speaks WebSocket.
pub(super) struct Opened<R, W> {
    pub(super) incoming: Incoming<R, W>,
    pub(super) outbox: Outbox<R, W>,
    pub(super) hangup: Hangup,
}

/// What the messages mean.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) encoding: Encoding,
    /// Whether the client says when a channel has ended.
    pub(super) ends: Ends,
    /// Where the client's messages go, by their channel.
    pub(super) inputs: Vec<(u8, mpsc::Sender<Piece>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    Said,
    NotSaid,
}

/// Why nothing more is written.
#[derive(Debug, Error)]
pub(super) enum WriteError {
    #[error("write to the client")]
    Write(#[from] tungstenite::Error),
    #[error("write to the client: it takes nothing")]
    Stalled(#[from] Elapsed),
}

/// A socket whose upgrade was answered.
pub(super) async fn open<R, W>(socket: Socket<R, W>) -> Opened<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(limits::READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(limits::WRITE_BUFFER_BYTES)
        .max_message_size(Some(limits::MESSAGE_BYTES))
        .max_frame_size(Some(limits::MESSAGE_BYTES));
    let (stream, read) = (join(socket.reader, socket.writer), socket.buffered.to_vec());
    let stream =
        WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await;
    let (outbox, incoming) = stream.split();
    Opened {
        incoming,
        outbox,
        hangup: socket.hangup,
    }
}

/// Reads and writes until all senders of `frames` are dropped or the client is gone, which drops `here`.
pub(super) async fn serve<R, W>(
    opened: Opened<R, W>,
    channels: Channels,
    mut frames: mpsc::Receiver<Outgoing>,
    here: oneshot::Sender<Infallible>,
    deadlines: &Deadlines,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Opened {
        mut incoming,
        mut outbox,
        hangup,
    } = opened;
    let encoding = channels.encoding;
    let over = {
        let mut written = pin!(write(&mut outbox, &mut frames, encoding, deadlines));
        tokio::select! {
            written = &mut written => {
                if let Err(error) = &written {
                    tracing::debug!(error = error as &dyn std::error::Error, "a streaming client takes nothing more");
                }
                written.is_ok()
            }
            () = read(&mut incoming, channels, &hangup, here) => false,
        }
    };
    if over {
        say_goodbye(&mut incoming, deadlines).await;
        return;
    }
    // Whoever still sends for this client hears that it is gone.
    drop(frames);
}

/// Reads until the client has answered the close.
async fn say_goodbye(
    incoming: &mut (impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin),
    deadlines: &Deadlines,
) {
    let drained = timeout(deadlines.farewell, async {
        while let Some(Ok(_unread)) = incoming.next().await {}
    });
    if drained.await.is_err() {
        tracing::debug!("a streaming client did not close its half");
    }
}

/// Sends a message; the client takes it in time.
pub(super) async fn send(
    outbox: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin),
    message: Message,
    deadlines: &Deadlines,
) -> Result<(), WriteError> {
    Ok(timeout(deadlines.stalled, outbox.send(message)).await??)
}

/// Clients take any other end than this for a failure.
pub(super) fn close() -> Message {
    Message::Close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    }))
}

async fn write(
    outbox: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin),
    frames: &mut mpsc::Receiver<Outgoing>,
    encoding: Encoding,
    deadlines: &Deadlines,
) -> Result<(), WriteError> {
    while let Some(outgoing) = frames.recv().await {
        // A channel's end has no message.
        let Outgoing::Data { stream, bytes } = outgoing else {
            continue;
        };
        let channel = u8::try_from(stream).unwrap_or(CLOSE);
        let message = message::encode(channel, &bytes, encoding);
        send(outbox, message, deadlines).await?;
    }
    send(outbox, close(), deadlines).await
}

/// Until the client closes, or sends what can't be. What it holds is dropped at the end, which is how the session hears of it.
async fn read(
    incoming: &mut (impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin),
    mut channels: Channels,
    hangup: &Hangup,
    _here: oneshot::Sender<Infallible>,
) {
    while let Some(message) = incoming.next().await {
        match message {
            Ok(message) if message.is_ping() || message.is_pong() => {}
            Ok(message) if message.is_close() => return,
            Ok(message) => match message::decode(message, channels.encoding) {
                Some((channel, bytes)) => {
                    if hangup.or(channels.give(channel, bytes)).await == Err(HungUp) {
                        return;
                    }
                }
                None => tracing::debug!("a client's message is of no channel"),
            },
            Err(error) => {
                tracing::debug!(%error, "a streaming connection broke");
                return;
            }
        }
    }
}

impl Channels {
    /// Gives a channel's reader what came, and waits while its queue is full. What nobody reads is dropped.
    async fn give(&mut self, channel: u8, bytes: Bytes) {
        let (channel, piece) = match (channel, self.ends, bytes.first()) {
            (CLOSE, Ends::Said, Some(ended)) => (*ended, Piece::End),
            (_, _, None) => return,
            _ => (channel, Piece::Data(bytes)),
        };
        let input = self.inputs.iter().find(|(known, _)| *known == channel);
        let Some((_, pieces)) = input else {
            return;
        };
        if pieces.send(piece).await.is_err() {
            self.inputs.retain(|(known, _)| *known != channel);
        }
    }
}
