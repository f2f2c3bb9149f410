//! Whether a client is gone, for as long as its bytes can't be read because nobody takes those before. Main type: [`Hangup`]. Above: what reads
//! a connection. Below: the kernel's word that the other side has closed (EPOLLRDHUP), which does not wait for what is unread.
//!
//! Without this a client whose input nobody takes could go unnoticed for as long as its process, or a pod's connection, stands still. A client
//! that leaves more behind than the sockets hold is noticed later: its end stands behind those bytes, so it takes until its kernel has
//! given up on them and resets what our keepalive asks.

use std::{
    future::pending,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use thiserror::Error;
use tokio::{io::Interest, net::TcpStream, time::sleep};

/// The client is gone, and what it sent last can't be given to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("give on what the client sent: it is gone")]
pub(crate) struct HungUp;

/// Sees a connection's end past what is unread.
#[derive(Debug)]
pub(crate) struct Hangup {
    /// The socket once more; none for what is no socket.
    socket: Option<OwnedFd>,
    patience: Duration,
}

impl Hangup {
    /// Watches a socket, but only where something has not gone on for `patience`: to ask costs more than to wait for a moment.
    pub(crate) fn of(socket: &TcpStream, patience: Duration) -> io::Result<Self> {
        let socket = Some(socket.as_fd().try_clone_to_owned()?);
        Ok(Self { socket, patience })
    }

    /// For a connection inside the process, whose ends hear of each other.
    pub(crate) fn never() -> Self {
        Self {
            socket: None,
            patience: Duration::MAX,
        }
    }

    /// What `giving` comes to, unless the client goes before.
    pub(crate) async fn or<T>(&self, giving: impl Future<Output = T>) -> Result<T, HungUp> {
        tokio::pin!(giving);
        tokio::select! {
            biased;
            given = &mut giving => return Ok(given),
            () = sleep(self.patience) => {}
        }
        tokio::select! {
            given = giving => Ok(given),
            () = self.hung_up() => Err(HungUp),
        }
    }

    async fn hung_up(&self) {
        let Some(socket) = &self.socket else {
            return pending().await;
        };
        if let Err(error) = hung_up(socket).await {
            tracing::debug!(%error, "a streaming connection can't be watched");
            pending().await
        }
    }
}

async fn hung_up(socket: &OwnedFd) -> io::Result<()> {
    let watched = std::net::TcpStream::from(socket.try_clone()?);
    let watched = TcpStream::from_std(watched)?;
    // Of all that a readable socket tells, this waits for its closed half, and for urgent data, which a socket of tokio's is not asked for.
    watched.ready(Interest::PRIORITY).await?;
    Ok(())
}
