//! The host's door: a listening unix stream socket whose clients are connections to the guest. Main type: [`Listener`]. Above:
//! `backend`. The socket comes open from whoever starts the monitor: no path is opened here.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{io::Errno, net::SocketFlags};

/// A listening socket that does not block. It outlives the guest's driver: clients that come before it wait in the backlog.
#[derive(Debug, Clone)]
pub(super) struct Listener(Arc<OwnedFd>);

/// One look at the door.
#[derive(Debug)]
pub(super) enum Visit {
    /// A client, whose socket does not block either.
    Client(OwnedFd),
    /// Nobody is there.
    Nobody,
    /// Somebody is there, but the process or the host has no room now.
    NoRoom,
}

impl Listener {
    /// Takes over a socket.
    ///
    /// # Errors
    /// When it is not a listening socket.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        if !rustix::net::sockopt::socket_acceptconn(&socket)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self(Arc::new(socket)))
    }

    pub(super) fn accept(&self) -> io::Result<Visit> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match rustix::net::accept_with(&*self.0, flags) {
                Ok(client) => return Ok(Visit::Client(client)),
                Err(Errno::AGAIN) => return Ok(Visit::Nobody),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    return Ok(Visit::NoRoom);
                }
                // The client left before its turn, or a signal came: the next one, please.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
