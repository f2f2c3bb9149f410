//! Ports of a pod (portforward.k8s.io): any number of connections beside each other, none of which disturbs another. Main function:
//! [`forward`], which carries one of them, the same for SPDY and WebSocket. Above: [`over_spdy`], `web_socket`. Below: the [`Backend`].
//!
//! A connection has two streams: `data`, both ways, and `error`, on which we say why there is no connection. A word on it makes clients
//! give up all that they forward, so what happens to a connection that was made is no error: it ends, as a connection does. A pod that reads
//! nothing from one connection stops all of its client, once the queues are full: SPDY without flow control can't hold one back alone.
//!
//! ```text
//! dial ─┬─ refused ─► end of data, the reason on error, both reset
//!       └─ connected ─► client's end of data = SHUT_WR to the pod, and the other way goes on
//!                       pod's end = end of data, end of error, and the other way goes on
//!                       client's reset of data = the connection is dropped
//! ```

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use crate::{
    backend::{Backend, Connection},
    pipe::{self, Fed, Gone, Inbound, Outbound},
};

mod over_spdy;
mod pairs;

pub(crate) use over_spdy::over_spdy;

/// A client's end of one forwarded connection.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) port: u16,
    pub(crate) from: Inbound,
    pub(crate) to: Outbound,
    pub(crate) error: Outbound,
    pub(crate) half_close: HalfClose,
}

/// Whether a client can tell its end of a connection from the end of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HalfClose {
    Known,
    /// The pod's end is the end of all.
    Unknown,
}

/// Connects to the pod and carries bytes until both sides have ended or the client wants no more.
pub(crate) async fn forward(backend: &impl Backend, sandbox: &str, forward: Forward) {
    let Forward {
        port,
        from,
        to,
        error,
        half_close,
    } = forward;
    let done = match backend.dial(sandbox, port).await {
        Ok(connection) => carry(connection, from, (&to, &error), half_close).await,
        Err(refusal) => {
            tracing::debug!(port, %refusal, "a port is not forwarded");
            refuse(&refusal.0, &to, &error).await
        }
    };
    if done.is_err() {
        tracing::debug!(
            port,
            "a client went before its forwarded connection had ended"
        );
    }
}

async fn refuse(why: &str, to: &Outbound, error: &Outbound) -> Result<(), Gone> {
    to.end().await?;
    error.data(Bytes::copy_from_slice(why.as_bytes())).await?;
    error.end().await?;
    to.reset().await?;
    error.reset().await
}

async fn carry(
    connection: Connection,
    mut from: Inbound,
    (to, error): (&Outbound, &Outbound),
    half_close: HalfClose,
) -> Result<(), Gone> {
    let Connection {
        from: source,
        to: mut sink,
    } = connection;
    let from_pod = async {
        pipe::pour(source, to).await?;
        error.end().await
    };
    let to_pod = async move {
        let fed = pipe::feed(&mut from, &mut sink).await;
        if fed == Fed::Whole
            && let Err(error) = sink.shutdown().await
        {
            tracing::debug!(%error, "a forwarded connection did not close for writing");
        }
        (fed, from, sink)
    };
    tokio::pin!(from_pod, to_pod);
    let (fed, mut from, _sink) = tokio::select! {
        told = &mut from_pod => {
            told?;
            if half_close == HalfClose::Known {
                to_pod.await;
            }
            return Ok(());
        }
        fed = &mut to_pod => fed,
    };
    if fed == Fed::Reset {
        return error.end().await;
    }
    tokio::select! {
        told = from_pod => told,
        () = from.reset() => error.end().await,
    }
}
