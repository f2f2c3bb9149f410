//! A seqpacket socket for tokio: one message at a time, each way. Main type: [`Channel`].

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use monitor::{ReceiveError, Received, SendError};
use rustix::io::ioctl_fionbio;
use thiserror::Error;
use tokio::io::unix::AsyncFd;

/// One socket with its registration in the runtime.
#[derive(Debug)]
pub(crate) struct Channel(AsyncFd<OwnedFd>);

/// Why a message did not pass. Public because [`RequestError`](crate::RequestError) carries it.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The runtime could not watch the socket.
    #[error("watch the monitor's socket")]
    Watch(#[source] io::Error),
    /// Sending.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Receiving.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The other end closed.
    #[error("the monitor closed the connection")]
    Closed,
}

impl ChannelError {
    /// The other end is gone.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Send(SendError::Socket(error)) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        ioctl_fionbio(&socket, true)?;
        Ok(Self(watch(socket)?))
    }

    pub(crate) async fn send<T: serde::Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        loop {
            let mut ready = self.0.writable().await.map_err(ChannelError::Watch)?;
            match monitor::send(self.0.as_fd(), message, fds) {
                Err(error) if error.would_block() => ready.clear_ready(),
                sent => return Ok(sent?),
            }
        }
    }

    /// The next message. Dropping the future loses none.
    pub(crate) async fn receive<T: serde::de::DeserializeOwned>(
        &self,
    ) -> Result<Received<T>, ChannelError> {
        loop {
            let mut ready = self.0.readable().await.map_err(ChannelError::Watch)?;
            match monitor::receive(self.0.as_fd()) {
                Err(error) if error.would_block() => ready.clear_ready(),
                // The other end closed before it read all; the kernel says so once. What it sent before is still there.
                Err(error) if is_reset(&error) => (),
                received => return received?.ok_or(ChannelError::Closed),
            }
        }
    }

    /// A message that is there already.
    pub(crate) fn take<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        let received = match monitor::receive(self.0.as_fd()) {
            Err(error) if is_reset(&error) => monitor::receive(self.0.as_fd()),
            received => received,
        };
        received.ok().flatten().map(|received| received.message)
    }
}

fn is_reset(error: &ReceiveError) -> bool {
    matches!(error, ReceiveError::Socket(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

/// Registers a descriptor with the runtime.
#[expect(
    deprecated,
    reason = "the replacement is unsafe for types that may give another descriptor later; an OwnedFd gives its own"
)]
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}
