//! The unix socket: one daemon has it, and what a killed one left is taken over. Main type: [`Socket`].

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;
use tokio::net::UnixListener;

/// For root and the socket's group: who may connect may start pods.
const MODE: u32 = 0o660;
/// Of the folder, where it has to be made.
const FOLDER_MODE: u32 = 0o755;

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Somebody serves there.
    #[error("another daemon serves at {}: stop it first, or set cri.socket in the configuration", path.display())]
    Live {
        /// The socket.
        path: PathBuf,
    },
    /// Something that we didn't make.
    #[error("{} is there and is no socket: remove it, or set cri.socket in the configuration", path.display())]
    NoSocket {
        /// The file.
        path: PathBuf,
    },
    /// A file operation.
    #[error("{attempt} {}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// A listening socket. Dropped, its file is gone.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    /// flock(2) on a file beside it: two daemons that start at once do not both find the socket stale.
    _lock: File,
}

impl Socket {
    /// Listens at `path`.
    pub(crate) fn bind(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        if let Some(folder) = path.parent() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(FOLDER_MODE).create(folder);
            made.map_err(io_error("make the socket's folder", folder))?;
        }
        let lock = lock(path)?;
        clear(path)?;
        let listener = UnixListener::bind(path).map_err(io_error("listen at", path))?;
        // Until here only its owner could connect: a new socket is not writable for others under any usual umask.
        fs::set_permissions(path, Permissions::from_mode(MODE))
            .map_err(io_error("set the mode of", path))?;
        let socket = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        Ok((socket, listener))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // One that somebody else removed is as it should be.
        fs::remove_file(&self.path).ok();
    }
}

fn lock(path: &Path) -> Result<File, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let opened = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name);
    let file = opened.map_err(io_error("open", &name))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(SocketError::Live {
            path: path.to_owned(),
        }),
        Err(errno) => Err(io_error("lock", &name)(errno.into())),
    }
}

/// Removes a socket that nobody listens at; another program's daemon does not know our lock.
fn clear(path: &Path) -> Result<(), SocketError> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("look at", path)(error)),
    };
    if !about.file_type().is_socket() {
        return Err(SocketError::NoSocket {
            path: path.to_owned(),
        });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(io_error("remove the stale socket", path))
        }
        Err(error) => Err(io_error("connect to", path)(error)),
        Ok(_somebody) => Err(SocketError::Live {
            path: path.to_owned(),
        }),
    }
}

fn io_error(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io {
        attempt,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
