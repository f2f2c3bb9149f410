//! The socket device: streams between programs on the host and programs in the guest (virtio 1.3, section 5.10). Main type:
//! [`Socket`]. Above: the transport; the monitor hands in the listening socket. Below: the queues, and unix sockets.
//!
//! ```text
//!  client ──unix socket──► listener                            guest
//!    │  CONNECT 1024\n        │ accept                           │
//!    └───────────────────► connection ──REQUEST──► receive queue ─► listens on port 1024
//!    ◄── OK 1073741824\n ─────┘  ▲ └────data, credit, SHUTDOWN──►│
//!    ◄──── bytes ───────────── muxer ◄────── transmit queue ◄────┘
//!                                └ announcer ──TRANSPORT_RESET──► event queue
//! ```
//!
//! A client that is refused sees the end of its stream without an `OK`. The guest can't open connections: its requests are
//! answered with RST, for there is no path that we could open. Ends map to ends: a SHUTDOWN of one direction is a shutdown(2) of
//! it, and what was sent before the end arrives before it.
//!
//! The driver's life: no driver (clients wait in the listener's backlog) ─► `backend` at work ─► reset: all connections are
//! closed ─► again.

mod backend;

mod announcer;
mod listener;
mod muxer;

mod connection;
mod greeting;
mod table;

mod backlog;
mod credit;
mod packet;
mod poll;

mod limits;

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use thiserror::Error;

use crate::{
    backend::{Backend, Kick},
    device::{ActivateError, Activation, Device, DeviceId},
    queue::Ring,
};
use backend::{Parts, SocketBackend};
use listener::Listener;

/// VIRTIO_VSOCK_F_STREAM. Datagrams and sequenced packets are not offered.
const FEATURES: u64 = 1 << 0;

/// Context ids below this mean any, the hypervisor, the machine itself and the host.
const FIRST_GUEST_CID: u32 = 3;

/// The device, before and between drivers.
#[derive(Debug)]
pub struct Socket {
    guest_cid: u32,
    listener: Listener,
    reset: Arc<OwnedFd>,
}

/// Tells the guest that its connections are lost, from any thread.
#[derive(Debug, Clone)]
pub struct TransportReset(Arc<OwnedFd>);

/// Why there is no socket device.
#[derive(Debug, Error)]
pub enum SocketError {
    /// A context id that a guest can't have.
    #[error("use context id {cid} for a guest: pick one from 3 to 4294967294")]
    ContextId {
        /// The id.
        cid: u32,
    },
    /// The descriptor for clients.
    #[error(
        "listen for clients of the guest: the descriptor must be a listening unix stream socket"
    )]
    Listener(#[source] io::Error),
    /// Something else of the host.
    #[error("make an eventfd for transport resets")]
    Host(#[source] io::Error),
}

impl Socket {
    /// A device for the guest of this context id, whose clients come to this listening unix stream socket.
    ///
    /// # Errors
    /// When a guest can't have the id, or the descriptor is no listening socket.
    pub fn new(guest_cid: u32, listener: OwnedFd) -> Result<Self, SocketError> {
        if !(FIRST_GUEST_CID..u32::MAX).contains(&guest_cid) {
            return Err(SocketError::ContextId { cid: guest_cid });
        }
        Ok(Self {
            guest_cid,
            listener: Listener::new(listener).map_err(SocketError::Listener)?,
            reset: Arc::new(poll::signal().map_err(SocketError::Host)?),
        })
    }

    /// What raises TRANSPORT_RESET, now or later.
    pub fn transport_reset(&self) -> TransportReset {
        TransportReset(Arc::clone(&self.reset))
    }

    fn backend(&self, activation: Activation) -> Result<SocketBackend, ActivateError> {
        let memory = activation.memory;
        let mut queues = activation.queues.into_iter();
        let mut ring = |index: usize| -> Result<(Ring, Kick), ActivateError> {
            let queue = queues.next().flatten();
            let queue = queue.ok_or(ActivateError::QueueMissing { index })?;
            Ok(Ring::new(index, memory.clone(), queue))
        };
        let parts = Parts {
            guest_cid: u64::from(self.guest_cid),
            queues: [ring(0)?, ring(1)?, ring(2)?],
            listener: self.listener.clone(),
            reset: Arc::clone(&self.reset),
        };
        SocketBackend::new(parts).map_err(|source| ActivateError::Host {
            id: DeviceId::Socket,
            source,
        })
    }
}

impl TransportReset {
    /// Closes every connection that the guest knows, tells it to forget them, and holds back new ones until it has. For after
    /// a restore only: a guest that merely paused keeps its connections. Before a driver is there it waits for one.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn raise(&self) -> io::Result<()> {
        poll::wake(self.0.as_fd())
    }
}

impl Device for Socket {
    fn id(&self) -> DeviceId {
        DeviceId::Socket
    }

    fn features(&self) -> u64 {
        FEATURES
    }

    fn queue_sizes(&self) -> &[u16] {
        &limits::QUEUE_SIZES
    }

    fn config_read(&self, offset: u64, data: &mut [u8]) {
        let config = u64::from(self.guest_cid).to_le_bytes();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = config.get(offset..).unwrap_or_default();
        for (target, byte) in data.iter_mut().zip(bytes) {
            *target = *byte;
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<Box<dyn Backend>, ActivateError> {
        Ok(Box::new(self.backend(activation)?))
    }
}
