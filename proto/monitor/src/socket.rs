//! One message over a `SOCK_SEQPACKET` unix socket: a packet of JSON, and descriptors beside it. Main functions: [`send`]
//! and [`receive`]. Neither blocks on a socket that is non-blocking; both say so by `would_block`.

#[cfg(test)]
mod tests;

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    self, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::limits::{MESSAGE_BYTES, MESSAGE_FDS};

/// A message with what came beside it.
#[derive(Debug)]
pub struct Received<T> {
    /// What was said.
    pub message: T,
    /// The descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Why a message did not go out.
#[derive(Debug, Error)]
pub enum SendError {
    /// It breaks a limit of the contract.
    #[error(
        "a message of {bytes} bytes with {fds} descriptors is too large: {MESSAGE_BYTES} and {MESSAGE_FDS} are possible"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// Its descriptors.
        fds: usize,
    },
    /// It can't be written as JSON.
    #[error("write the message as JSON")]
    Form(#[source] serde_json::Error),
    /// The socket did not take it.
    #[error("send a message")]
    Socket(#[source] io::Error),
}

/// Why no message came in.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// The packet or its descriptors were cut off.
    #[error("the message is larger than {MESSAGE_BYTES} bytes or {MESSAGE_FDS} descriptors")]
    TooLarge,
    /// It is not what was expected.
    #[error("the message is not understood")]
    Form(#[source] serde_json::Error),
    /// The socket gave nothing.
    #[error("receive a message")]
    Socket(#[source] io::Error),
}

impl SendError {
    /// The socket's buffer is full, and the socket non-blocking.
    #[must_use]
    pub fn would_block(&self) -> bool {
        matches!(self, Self::Socket(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl ReceiveError {
    /// Nothing is there yet, and the socket is non-blocking.
    #[must_use]
    pub fn would_block(&self) -> bool {
        matches!(self, Self::Socket(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Sends one message; all of it or nothing.
///
/// # Errors
/// When the message breaks a limit or the socket does not take it.
pub fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> Result<(), SendError> {
    let json = serde_json::to_vec(message).map_err(SendError::Form)?;
    if json.len() > MESSAGE_BYTES || fds.len() > MESSAGE_FDS {
        return Err(SendError::TooLarge {
            bytes: json.len(),
            fds: fds.len(),
        });
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(SendError::TooLarge {
            bytes: json.len(),
            fds: fds.len(),
        });
    }
    net::sendmsg(
        socket,
        &[IoSlice::new(&json)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map(|_| ())
    .map_err(|errno| SendError::Socket(errno.into()))
}

/// Receives one message; `None` when the other end has closed.
///
/// # Errors
/// When there is none, or it breaks a limit or the form. Descriptors of a message that is refused are closed.
pub fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> Result<Option<Received<T>>, ReceiveError> {
    let mut bytes = vec![0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let packet = net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(|errno| ReceiveError::Socket(errno.into()))?;
    let fds = descriptors(&mut control);
    if packet
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(ReceiveError::TooLarge);
    }
    let json = bytes.get(..packet.bytes).ok_or(ReceiveError::TooLarge)?;
    if json.is_empty() && fds.is_empty() {
        return Ok(None);
    }
    let message = serde_json::from_slice(json).map_err(ReceiveError::Form)?;
    Ok(Some(Received { message, fds }))
}

fn descriptors(control: &mut RecvAncillaryBuffer<'_>) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    fds
}
