//! The file system device: folders of the host for the guest, served by another process (virtio 1.3, section 5.11). Main type:
//! [`FileSystem`]. Above: the transport; the monitor hands in the socket. Below: the queues, and a `SOCK_SEQPACKET` socket whose
//! other end is a share server, which speaks FUSE.
//!
//! ```text
//!  guest's driver ──request──► queue ─► backend ──a packet per request──► server
//!                 ◄──used───── queue ◄─ backend ◄──a packet per reply──── server
//! ```
//!
//! Nothing but the two headers of FUSE is understood here. The server never sees guest memory: what it gets and gives are packets,
//! and each is copied once and checked in `message`. It is as little trusted as the guest. A server that breaks the rules is cut off,
//! and one that is gone is not waited for: every request is then answered with ENOTCONN, and the machine runs on.
//!
//! A request goes to the server under a number of ours and not under the guest's, so a guest can't make two requests look alike, and an
//! answer that comes after the driver was reset finds nobody.

mod backend;

mod message;
mod waiting;

#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, atomic::AtomicU64},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::{Shutdown, SocketType},
};
use thiserror::Error;

use crate::{
    backend::Backend,
    device::{ActivateError, Activation, Device, DeviceId},
    limits,
    queue::Ring,
};
use backend::{FileSystemBackend, Parts};

/// Longest tag, in bytes (5.11.4).
const TAG_BYTES: usize = 36;

/// The tag, and how many request queues there are.
const CONFIG_BYTES: usize = TAG_BYTES + 4;

/// Request queues. One: the server has threads of its own.
const REQUEST_QUEUES: u32 = 1;

/// The high priority queue, which FORGET comes by, and the request queue.
const QUEUE_SIZES: [u16; 2] = [limits::SHARE_QUEUE_ENTRIES; 2];

/// The device, before and between drivers.
#[derive(Debug)]
pub struct FileSystem {
    config: [u8; CONFIG_BYTES],
    connection: Connection,
    /// Number of the next request; it counts on when the driver starts over.
    next: Arc<AtomicU64>,
}

/// The socket to the server. Cheap to clone; the server sees its end when the last one is gone.
#[derive(Debug, Clone)]
pub struct Connection(Arc<OwnedFd>);

/// Why there is no file system device.
#[derive(Debug, Error)]
pub enum FileSystemError {
    /// A tag that does not fit.
    #[error(
        "use the tag {tag:?} for a file system: it needs 1 to {TAG_BYTES} bytes and none of them 0"
    )]
    Tag {
        /// The tag.
        tag: String,
    },
    /// The descriptor for the server.
    #[error("talk to a share server: the descriptor must be a SOCK_SEQPACKET socket")]
    Socket(#[source] io::Error),
}

impl FileSystem {
    /// A device that the guest finds by its tag, before the server at the socket's other end.
    ///
    /// # Errors
    /// When the tag does not fit, or the descriptor is no such socket.
    pub fn new(tag: &str, socket: OwnedFd) -> Result<Self, FileSystemError> {
        let mut config = [0; CONFIG_BYTES];
        let fits = (1..=TAG_BYTES).contains(&tag.len()) && !tag.contains('\0');
        let (name, queues) = config.split_at_mut(TAG_BYTES);
        match name.get_mut(..tag.len()).filter(|_| fits) {
            Some(name) => name.copy_from_slice(tag.as_bytes()),
            None => {
                return Err(FileSystemError::Tag {
                    tag: tag.to_owned(),
                });
            }
        }
        queues.copy_from_slice(&REQUEST_QUEUES.to_le_bytes());
        let kind = rustix::net::sockopt::socket_type(&socket);
        let kind = kind.map_err(|errno| FileSystemError::Socket(errno.into()))?;
        if kind != SocketType::SEQPACKET {
            return Err(FileSystemError::Socket(io::ErrorKind::InvalidInput.into()));
        }
        Ok(Self {
            config,
            connection: Connection(Arc::new(socket)),
            next: Arc::new(AtomicU64::new(1)),
        })
    }

    /// For one who wants to know whether the server is there.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

impl Connection {
    /// Is the server there? Asks the kernel, so it is true of this moment.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let mut poll = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec::default();
        let polled = rustix::event::poll(&mut poll, Some(&now));
        let [socket] = poll;
        let over = PollFlags::HUP | PollFlags::ERR;
        polled.is_ok() && !socket.revents().intersects(over)
    }

    /// The server is not listened to any more, whatever it does.
    fn cut(&self) {
        // The only refusal is that of a socket whose other end has closed before.
        rustix::net::shutdown(&self.0, Shutdown::Both).ok();
    }
}

impl Device for FileSystem {
    fn id(&self) -> DeviceId {
        DeviceId::FileSystem
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config_read(&self, offset: u64, data: &mut [u8]) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.config.get(offset..).unwrap_or_default();
        for (target, byte) in data.iter_mut().zip(bytes) {
            *target = *byte;
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<Box<dyn Backend>, ActivateError> {
        let memory = activation.memory;
        let mut queues = activation.queues.into_iter();
        let mut ring = |index: usize| {
            let queue = queues.next().flatten();
            let queue = queue.ok_or(ActivateError::QueueMissing { index })?;
            Ok(Ring::new(index, memory.clone(), queue))
        };
        let parts = Parts {
            queues: [ring(0)?, ring(1)?],
            connection: self.connection.clone(),
            next: Arc::clone(&self.next),
        };
        let backend = FileSystemBackend::new(parts).map_err(|source| ActivateError::Host {
            id: DeviceId::FileSystem,
            source,
        })?;
        Ok(Box::new(backend))
    }
}
