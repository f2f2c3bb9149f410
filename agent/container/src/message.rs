//! What the agent and its launcher say to each other over one socket: a length, JSON, and file descriptors beside the
//! length. Both ends are this program, so the limit guards against mistakes of ours, not against an enemy.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use oci_spec::runtime::{Process, Spec};
use rustix::{
    io::{Errno, retry_on_intr},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{account::Identity, failure::Failure, user_namespace::UserNamespace};

/// A specification of 1 MiB of JSON at the door may grow a little when it is written again.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Descriptors beside one message: stdin, stdout, stderr.
const MAX_FDS: usize = 3;

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// 0 leaves the kernel's.
    pub columns: u16,
    /// 0 leaves the kernel's.
    pub rows: u16,
}

/// The one message to a launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) container_id: String,
    /// The container's folder in the agent's state, see [`crate::Folder`].
    pub(crate) folder: PathBuf,
    /// From the cgroup mount's root, beginning with a slash.
    pub(crate) cgroup: PathBuf,
    /// Set: the process gets a terminal. Else its streams are the descriptors beside the message.
    pub(crate) terminal: Option<WindowSize>,
    pub(crate) work: Work,
}

/// What the launcher is to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A container and its first process.
    Create {
        spec: Box<Spec>,
        root: PathBuf,
        read_only: bool,
        /// The pod's, which the specification joins.
        user: Option<UserNamespace>,
    },
    /// One more process in a container that runs.
    Exec {
        process: Box<Process>,
        exec_id: String,
    },
    /// What is left in an order whose work has been taken.
    Nothing,
}

/// The launcher's one answer. A terminal's descriptor comes beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The process has been executed. A container's first one tells who it is.
    Started { pid: i32, user: Option<Identity> },
    /// Nothing is left of it.
    Failed(Failure),
}

/// Sends one message with descriptors beside it.
pub(crate) fn send(
    socket: &UnixStream,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len())
        .map_err(io::Error::other)?
        .to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other(
            "more descriptors than fit beside a message",
        ));
    }
    let sent = retry_on_intr(|| {
        sendmsg(
            socket,
            &[IoSlice::new(&length)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )
    })?;
    let mut stream = socket;
    stream.write_all(length.get(sent..).unwrap_or_default())?;
    stream.write_all(&body)
}

/// Receives one message and the descriptors beside it.
pub(crate) fn receive<Message: DeserializeOwned>(
    socket: &UnixStream,
) -> io::Result<(Message, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    let (got, fds) = receive_fds(socket, &mut length)?;
    if got == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut stream = socket;
    stream.read_exact(length.get_mut(got..).unwrap_or_default())?;
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::other("message over the limit"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((serde_json::from_slice(&body)?, fds))
}

/// Reads into `bytes` once, with the descriptors that come beside.
pub(crate) fn receive_fds(
    socket: impl AsFd,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // A socket with a timeout is not restarted after a signal (signal(7)), and the agent's children signal their end.
    let received = loop {
        match recvmsg(
            &socket,
            &mut [IoSliceMut::new(bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            received => break received?,
        }
    };
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((received.bytes, fds))
}
