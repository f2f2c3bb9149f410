//! How an agent is reached: in a VM through the monitor's unix socket, where one line asks for a port of the guest; on a host through
//! unix sockets of its own.

use std::{io, path::PathBuf};

use agent::{RPC_PORT, STDIO_PORT};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::deadlines::MAX_CONNECT_ANSWER_BYTES;

/// Where an agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connector {
    /// In a VM, behind the monitor's socket for connections to the guest's vsock ports.
    Vsock {
        /// The monitor's socket.
        socket: PathBuf,
    },
    /// On a host, listening on two sockets.
    Unix {
        /// For calls.
        rpc: PathBuf,
        /// For streams.
        stdio: PathBuf,
    },
}

impl Connector {
    pub(crate) async fn rpc(&self) -> io::Result<UnixStream> {
        match self {
            Self::Vsock { socket } => vsock(socket, RPC_PORT).await,
            Self::Unix { rpc, .. } => UnixStream::connect(rpc).await,
        }
    }

    pub(crate) async fn stdio(&self) -> io::Result<UnixStream> {
        match self {
            Self::Vsock { socket } => vsock(socket, STDIO_PORT).await,
            Self::Unix { stdio, .. } => UnixStream::connect(stdio).await,
        }
    }
}

/// "CONNECT <port>\n" is answered with "OK <number>\n" once the guest has accepted, or with the end of the connection.
async fn vsock(socket: &PathBuf, port: u32) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).await?;
    stream
        .write_all(format!("CONNECT {port}\n").as_bytes())
        .await?;
    let mut answer = Vec::with_capacity(MAX_CONNECT_ANSWER_BYTES);
    // Byte by byte: what follows the newline is the guest's.
    while answer.last() != Some(&b'\n') {
        if answer.len() == MAX_CONNECT_ANSWER_BYTES {
            return Err(not_ok());
        }
        answer.push(stream.read_u8().await?);
    }
    if answer.starts_with(b"OK ") {
        Ok(stream)
    } else {
        Err(not_ok())
    }
}

fn not_ok() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the monitor did not answer CONNECT with OK",
    )
}

#[cfg(test)]
mod tests;
