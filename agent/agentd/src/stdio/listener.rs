//! Accepts the host's connections for streams, reads their first frames, and gives each to the task of its stream, or to the port or the socket that it
//! is for.

use std::{io, os::unix::net::UnixListener as StdUnixListener, sync::Arc};

use agent::{
    dial::Dial,
    socket::Wait,
    stdio::{FrameError, OPEN_HEADER_BYTES, Open, Opened},
};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

use super::{Connection, HostStream, dial, wait};
use crate::{
    arguments::Address,
    containers::Owner,
    deadlines::{
        ACCEPT_PAUSE, ANSWER_DEADLINE, MAX_DIALS, MAX_WAITS, OPEN_DEADLINE, UNOPENED_CONNECTIONS,
    },
    volumes::Volumes,
};

/// A bound socket for stdio streams.
pub(crate) enum Listener {
    Vsock(VsockListener),
    Unix(UnixListener),
}

/// What a connection is for.
enum Request {
    Stream(Open),
    Port(Dial),
    Socket(Wait),
}

/// What connections are handed to.
#[derive(Clone)]
struct Desks {
    owner: Owner,
    volumes: Volumes,
    /// Places for connections to ports.
    dials: Arc<Semaphore>,
    /// Places for those that wait at sockets.
    waits: Arc<Semaphore>,
}

/// Why a connection never became a stream's.
#[derive(Debug, Error)]
enum OpenError {
    #[error("the first frame did not arrive")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
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
    pub(crate) async fn serve(self, owner: Owner, volumes: Volumes) {
        let places = Arc::new(Semaphore::new(UNOPENED_CONNECTIONS));
        let desks = Desks {
            owner,
            volumes,
            dials: Arc::new(Semaphore::new(MAX_DIALS)),
            waits: Arc::new(Semaphore::new(MAX_WAITS)),
        };
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let Ok(host) = self.accept().await else {
                // For want of descriptors, most likely. Nothing says when there are some again, so it is tried again, and not at once.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            tokio::spawn(attend(host, desks.clone(), place));
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn HostStream>> {
        match self {
            Self::Vsock(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Hands the connection to what it asks for. It has its place until then.
async fn attend(mut host: Box<dyn HostStream>, desks: Desks, place: OwnedSemaphorePermit) {
    let request = timeout(OPEN_DEADLINE, read_request(&mut host)).await;
    let request = request.unwrap_or_else(|elapsed| Err(OpenError::Read(elapsed.into())));
    match request {
        Ok(Request::Stream(open)) => {
            let offset = open.offset;
            let stream = desks.owner.stream(open).await;
            drop(place);
            match stream {
                // A full queue means that newer connections are waiting: this one is taken over already.
                Ok(handle) => drop(handle.try_send(Connection { host, offset })),
                Err(fault) => refuse(host, fault.message).await,
            }
        }
        Ok(Request::Port(dial)) => {
            drop(place);
            dial::carry(host, dial, desks.dials).await;
        }
        Ok(Request::Socket(wait)) => {
            drop(place);
            let Desks { volumes, waits, .. } = desks;
            wait::carry(host, wait, volumes, waits).await;
        }
        Err(error) => refuse(host, error.to_string()).await,
    }
}

async fn read_request(host: &mut Box<dyn HostStream>) -> Result<Request, OpenError> {
    let mut header = [0; OPEN_HEADER_BYTES];
    host.read_exact(&mut header)
        .await
        .map_err(OpenError::Read)?;
    if Dial::is_meant(&header) {
        return Ok(Request::Port(Dial::decode(&header)?));
    }
    if Wait::is_meant(&header) {
        let mut id = vec![0; Wait::decode_header(&header)?];
        host.read_exact(&mut id).await.map_err(OpenError::Read)?;
        return Ok(Request::Socket(Wait::decode_id(&id)?));
    }
    let header = Open::decode_header(&header)?;
    let mut ids = vec![0; header.ids_bytes];
    host.read_exact(&mut ids).await.map_err(OpenError::Read)?;
    Ok(Request::Stream(Open::decode_ids(header, &ids)?))
}

/// Tells the host why it gets nothing.
pub(super) async fn refuse(mut host: Box<dyn HostStream>, reason: String) {
    let frame = Opened::Refused { reason }.encode();
    // A host that does not wait for the reason does not get it.
    drop(timeout(ANSWER_DEADLINE, host.write_all(&frame)).await);
}
