//! Port-forward as SPDY in a WebSocket: binary messages are pieces of one stream of bytes. Main function: [`tunnel`]. Above: `session`.
//! Below: `connection`, and `port_forward::over_spdy` at the tunnel's other end.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf,
        duplex, split,
    },
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use super::connection::{self, Incoming, Opened, Outbox, WriteError};
use crate::{
    backend::Backend,
    deadlines::Deadlines,
    hangup::{Hangup, HungUp},
    limits, port_forward,
    spdy::Socket,
};

/// Forwards ports of a sandbox over SPDY over WebSocket.
pub(crate) async fn tunnel<R, W>(
    socket: Socket<R, W>,
    backend: &impl Backend,
    sandbox: &str,
    deadlines: &Deadlines,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (near, far) = duplex(limits::READ_BYTES);
    let far = Socket::within(far, Bytes::new());
    let Opened {
        incoming,
        outbox,
        hangup,
    } = connection::open(socket).await;
    let (from_far, to_far) = split(near);
    let served = async {
        tokio::join!(
            port_forward::over_spdy(far, backend, sandbox, deadlines),
            carry_out(from_far, outbox, deadlines),
        );
    };
    let came = carry_in(incoming, to_far, &hangup);
    tokio::pin!(served, came);
    tokio::select! {
        () = &mut came => served.await,
        () = &mut served => {
            if timeout(deadlines.farewell, came).await.is_err() {
                tracing::debug!("a tunnel's client did not close its half");
            }
        }
    }
}

/// Messages to bytes, until the client closes. What comes after SPDY has ended is dropped.
async fn carry_in<R, W>(
    mut incoming: Incoming<R, W>,
    mut to: WriteHalf<DuplexStream>,
    hangup: &Hangup,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = incoming.next().await {
        match message {
            Message::Binary(bytes) => match hangup.or(to.write_all(&bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::trace!(%error, "bytes for a tunnel that has ended"),
                Err(HungUp) => break,
            },
            Message::Close(_) => break,
            _ => {}
        }
    }
    if let Err(error) = to.shutdown().await {
        tracing::debug!(%error, "a tunnel was closed already");
    }
}

/// Bytes to messages, until SPDY has said goodbye.
async fn carry_out<R, W>(
    mut from: ReadHalf<DuplexStream>,
    mut outbox: Outbox<R, W>,
    deadlines: &Deadlines,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let carried = async {
        let mut buffer = BytesMut::with_capacity(limits::PIECE_BYTES);
        // The duplex fails never; it ends when the other end is closed or dropped.
        while let Ok(1..) = from.read_buf(&mut buffer).await {
            let message = Message::Binary(buffer.split().freeze());
            connection::send(&mut outbox, message, deadlines).await?;
            buffer.reserve(limits::PIECE_BYTES);
        }
        connection::send(&mut outbox, connection::close(), deadlines).await
    };
    let carried: Result<(), WriteError> = carried.await;
    if let Err(error) = carried {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a tunnel's client takes nothing more"
        );
    }
}
