//! Port-forward over WebSocket, version 4: one connection for each port that the URL was made for, on two channels each. Main function:
//! [`forward`]. Above: `session`. Below: `connection`, `port_forward`.

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    connection::{self, Channels, Ends},
    message::Encoding,
};
use crate::{
    backend::{Backend, PortForward},
    deadlines::Deadlines,
    limits,
    pipe::{self, Gone, Outbound},
    port_forward::{self, Forward, HalfClose},
    spdy::Socket,
};

/// Forwards the session's ports on a socket that speaks WebSocket.
pub(crate) async fn forward<R, W>(
    socket: Socket<R, W>,
    backend: &impl Backend,
    session: PortForward,
    encoding: Encoding,
    deadlines: &Deadlines,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (queue, frames) = mpsc::channel(limits::FRAMES_AHEAD);
    let (here, gone) = oneshot::channel();
    let mut inputs = Vec::new();
    let mut forwards = Vec::new();
    // As many as `http` lets through have room in a byte.
    for (data, port) in (0_u8..=u8::MAX).step_by(2).zip(&session.ports) {
        let (pieces, from) = pipe::inbound();
        inputs.push((data, pieces));
        forwards.push(Forward {
            port: *port,
            from,
            to: Outbound::new(u32::from(data), queue.clone()),
            error: Outbound::new(u32::from(data) + 1, queue.clone()),
            half_close: HalfClose::Unknown,
        });
    }
    drop(queue);
    let channels = Channels {
        encoding,
        ends: Ends::NotSaid,
        inputs,
    };
    let sandbox = session.sandbox.as_str();
    let carried = join_all(forwards.into_iter().map(async |forward| {
        if greet(&forward).await.is_ok() {
            port_forward::forward(backend, sandbox, forward).await;
        }
    }));
    let session = async {
        tokio::pin!(carried);
        tokio::select! {
            _all_ended = &mut carried => return,
            _client = gone => {}
        }
        if timeout(deadlines.farewell, carried).await.is_err() {
            tracing::debug!("what a client sent last was not taken by its pod");
        }
    };
    let socket = connection::open(socket).await;
    tokio::join!(
        session,
        connection::serve(socket, channels, frames, here, deadlines)
    );
}

/// Each channel begins with its port, as the clients know it.
async fn greet(forward: &Forward) -> Result<(), Gone> {
    let port = Bytes::copy_from_slice(&forward.port.to_le_bytes());
    forward.to.data(port.clone()).await?;
    forward.error.data(port).await
}
