//! The two sockets of a machine in its run folder. Main functions: [`listen`], for a launch, and [`connect`], for the control
//! socket of a running monitor.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, Permissions},
    io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use thiserror::Error;

use crate::{channel::Channel, plan::Listeners};

/// File name of the control socket in a run folder.
pub const CONTROL_SOCKET: &str = "control.sock";

/// File name of the socket behind the guest's vsock.
pub const VSOCK_SOCKET: &str = "vsock.sock";

/// Most connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// Only the owner of the run folder connects.
const MODE: u32 = 0o600;

/// Why a socket of a run folder can't be used.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Its path does not fit into a socket address (sun_path of unix(7): 108 bytes with the final 0).
    #[error("the socket path {path} has {} bytes, and 107 are possible: use a shorter run folder", path.as_os_str().len())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{attempt} {path}")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// The sockets of one launch in their folder. Dropping it before [`Bound::keep`] removes them.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listeners: Listeners,
    paths: Option<[PathBuf; 2]>,
}

impl Bound {
    /// The launch succeeded: the sockets stay.
    pub(crate) fn keep(&mut self) {
        self.paths = None;
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // One that is gone already is what was wanted.
        for path in self.paths.iter().flatten() {
            drop(fs::remove_file(path));
        }
    }
}

/// Makes both listening sockets. What an earlier monitor left under their names is removed: the folder has one owner.
pub(crate) fn listen(run_folder: &Path) -> Result<Bound, SocketError> {
    let control_path = run_folder.join(CONTROL_SOCKET);
    let vsock_path = run_folder.join(VSOCK_SOCKET);
    let control = bind(&control_path, SocketType::SEQPACKET)?;
    let vsock = match bind(&vsock_path, SocketType::STREAM) {
        Ok(vsock) => vsock,
        Err(error) => {
            drop(fs::remove_file(control_path));
            return Err(error);
        }
    };
    Ok(Bound {
        listeners: Listeners { control, vsock },
        paths: Some([control_path, vsock_path]),
    })
}

/// Connects to the control socket of a monitor.
pub(crate) fn connect(run_folder: &Path) -> Result<Channel, SocketError> {
    let path = run_folder.join(CONTROL_SOCKET);
    let address = address(&path)?;
    let refused = |source| SocketError::Refused {
        attempt: "connect to",
        path: path.clone(),
        source,
    };
    let socket = new_socket(SocketType::SEQPACKET).map_err(refused)?;
    net::connect(&socket, &address).map_err(|errno| refused(errno.into()))?;
    Channel::new(socket).map_err(refused)
}

fn bind(path: &Path, kind: SocketType) -> Result<OwnedFd, SocketError> {
    let address = address(path)?;
    let refused = |attempt| {
        move |source: io::Error| SocketError::Refused {
            attempt,
            path: path.to_owned(),
            source,
        }
    };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(refused("remove the old socket")(error));
        }
        _ => (),
    }
    let socket = new_socket(kind).map_err(refused("make the socket"))?;
    net::bind(&socket, &address).map_err(|errno| refused("bind the socket")(errno.into()))?;
    // Nobody can connect before the mode is right, because nobody listens yet.
    let mode = Permissions::from_mode(MODE);
    fs::set_permissions(path, mode).map_err(refused("set the mode of the socket"))?;
    net::listen(&socket, BACKLOG).map_err(|errno| refused("listen on")(errno.into()))?;
    Ok(socket)
}

fn new_socket(kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, kind, flags, None)?)
}

fn address(path: &Path) -> Result<SocketAddrUnix, SocketError> {
    SocketAddrUnix::new(path).map_err(|errno| match errno {
        rustix::io::Errno::NAMETOOLONG => SocketError::PathTooLong {
            path: path.to_owned(),
        },
        errno => SocketError::Refused {
            attempt: "use the socket path",
            path: path.to_owned(),
            source: errno.into(),
        },
    })
}
