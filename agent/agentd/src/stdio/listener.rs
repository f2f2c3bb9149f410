//! Accepts the host's stdio connections, reads their `Open` frames, and gives each to the task of its stream.

use std::{io, os::unix::net::UnixListener as StdUnixListener, sync::Arc};

use agent::stdio::{FrameError, OPEN_HEADER_BYTES, Open, Opened};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    sync::Semaphore,
    time::timeout,
};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

use super::{Connection, HostStream};
use crate::{
    arguments::Address,
    containers::Owner,
    deadlines::{ACCEPT_PAUSE, ANSWER_DEADLINE, OPEN_DEADLINE, UNOPENED_CONNECTIONS},
};

/// A bound socket for stdio streams.
pub(crate) enum Listener {
    Vsock(VsockListener),
    Unix(UnixListener),
}

/// Why a connection never became a stream's.
#[derive(Debug, Error)]
enum OpenError {
    #[error("the Open frame did not arrive")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    NoStream(String),
}

impl Listener {
    /// To be called within the runtime.
    pub(crate) fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Vsock { port } => {
                VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, *port)).map(Self::Vsock)
            }
            Address::Unix { path } => {
                let listener = StdUnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Self::Unix)
            }
        }
    }

    /// Accepts for as long as the agent lives.
    pub(crate) async fn serve(self, owner: Owner) {
        let places = Arc::new(Semaphore::new(UNOPENED_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let Ok(mut host) = self.accept().await else {
                // For want of descriptors, most likely. Nothing says when there are some again, so it is tried again, and not at once.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let owner = owner.clone();
            tokio::spawn(async move {
                let opened = open(&mut host, &owner).await;
                drop(place);
                match opened {
                    // A full queue means that newer connections are waiting: this one is taken over already.
                    Ok((handle, offset)) => drop(handle.try_send(Connection { host, offset })),
                    Err(error) => refuse(host, error.to_string()).await,
                }
            });
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn HostStream>> {
        match self {
            Self::Vsock(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

async fn open(
    host: &mut Box<dyn HostStream>,
    owner: &Owner,
) -> Result<(super::StreamHandle, u64), OpenError> {
    let open = timeout(OPEN_DEADLINE, read_open(host))
        .await
        .map_err(|elapsed| OpenError::Read(elapsed.into()))??;
    let offset = open.offset;
    let handle = owner
        .stream(open)
        .await
        .map_err(|fault| OpenError::NoStream(fault.message))?;
    Ok((handle, offset))
}

async fn read_open(host: &mut Box<dyn HostStream>) -> Result<Open, OpenError> {
    let mut header = [0; OPEN_HEADER_BYTES];
    host.read_exact(&mut header)
        .await
        .map_err(OpenError::Read)?;
    let header = Open::decode_header(&header)?;
    let mut ids = vec![0; header.ids_bytes];
    host.read_exact(&mut ids).await.map_err(OpenError::Read)?;
    Ok(Open::decode_ids(header, &ids)?)
}

async fn refuse(mut host: Box<dyn HostStream>, reason: String) {
    let frame = Opened::Refused { reason }.encode();
    // A host that does not wait for the reason does not get it.
    drop(timeout(ANSWER_DEADLINE, host.write_all(&frame)).await);
}
