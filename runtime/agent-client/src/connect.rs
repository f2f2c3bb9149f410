//! Reaches a port of the guest: through the monitor's muxer, a unix socket where the first line names the port; or directly, where the
//! agent runs on the host. Main type: [`Address`].

use std::{io, path::PathBuf};

use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::limits;

/// Where an agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// In a guest, behind the muxer that listens on this socket.
    Guest {
        /// The monitor's vsock socket.
        muxer: PathBuf,
    },
    /// A process on the host with a socket for each port.
    Host {
        /// For calls.
        rpc: PathBuf,
        /// For stdio streams.
        stdio: PathBuf,
    },
}

/// A port of the guest could not be reached.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The socket on the host.
    #[error("connect to {}", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The muxer closed the connection: nobody listens at the port, or there is no guest.
    #[error("port {port} of the guest refused the connection")]
    Refused {
        /// The port.
        port: u32,
    },
    /// The muxer broke its own protocol.
    #[error("the muxer did not answer OK for port {port}")]
    Answer {
        /// The port.
        port: u32,
    },
}

impl Address {
    pub(crate) async fn rpc(&self) -> Result<UnixStream, ConnectError> {
        match self {
            Self::Guest { muxer } => through_muxer(muxer, agent::RPC_PORT).await,
            Self::Host { rpc, .. } => direct(rpc).await,
        }
    }

    pub(crate) async fn stdio(&self) -> Result<UnixStream, ConnectError> {
        match self {
            Self::Guest { muxer } => through_muxer(muxer, agent::STDIO_PORT).await,
            Self::Host { stdio, .. } => direct(stdio).await,
        }
    }
}

async fn direct(path: &PathBuf) -> Result<UnixStream, ConnectError> {
    let connected = UnixStream::connect(path).await;
    connected.map_err(|source| ConnectError::Socket {
        path: path.clone(),
        source,
    })
}

async fn through_muxer(muxer: &PathBuf, port: u32) -> Result<UnixStream, ConnectError> {
    let mut stream = direct(muxer).await?;
    let refused = |_broken: io::Error| ConnectError::Refused { port };
    stream
        .write_all(format!("CONNECT {port}\n").as_bytes())
        .await
        .map_err(refused)?;
    // Byte by byte: what follows the line belongs to the stream.
    let mut answer = Vec::with_capacity(limits::CONNECT_ANSWER_BYTES);
    while answer.last() != Some(&b'\n') {
        if answer.len() == limits::CONNECT_ANSWER_BYTES {
            return Err(ConnectError::Answer { port });
        }
        answer.push(stream.read_u8().await.map_err(refused)?);
    }
    if answer.starts_with(b"OK ") {
        Ok(stream)
    } else {
        Err(ConnectError::Answer { port })
    }
}
