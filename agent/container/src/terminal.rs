//! How the launcher gets the terminal that libcontainer makes inside the container: libcontainer connects to a socket by its path
//! and sends the descriptor there.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use crate::message::receive_fds;

/// The socket, while the terminal is on its way.
#[derive(Debug)]
pub(crate) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    pub(crate) fn bind(path: PathBuf) -> io::Result<Self> {
        let listener = UnixListener::bind(&path)?;
        // libcontainer has connected and sent before its build returns, so there is nothing to wait for.
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal's controlling side. To be called when libcontainer's build has returned.
    pub(crate) fn receive(&self) -> io::Result<OwnedFd> {
        let (connection, _) = self.listener.accept()?;
        connection.set_nonblocking(true)?;
        let (_, mut fds) = receive_fds(&connection, &mut [0; 64])?;
        match (fds.pop(), fds.is_empty()) {
            (Some(terminal), true) => Ok(terminal),
            _ => Err(io::Error::other("libcontainer sent no terminal")),
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        // Left behind it would only stay until the container's folder goes.
        drop(fs::remove_file(&self.path));
    }
}
