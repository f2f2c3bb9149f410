//! The kernel's own network back end, which moves packets between a tap and a guest's memory without a system call each. Main function:
//! [`open`]; the monitor is handed one per queue.

use std::{
    fs::OpenOptions,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why there is none. A guest's network works without, more slowly.
#[derive(Debug, Error)]
pub enum VhostNetError {
    /// The kernel has none.
    #[error("this host has no {}: its kernel's module vhost_net is not loaded", path.display())]
    Missing {
        /// Its path.
        path: PathBuf,
    },
    /// It does not open.
    #[error("open {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Opens it once: for one queue.
///
/// # Errors
/// Where the host has none or doesn't let us.
pub fn open() -> Result<OwnedFd, VhostNetError> {
    open_at(Path::new("/dev/vhost-net"))
}

fn open_at(path: &Path) -> Result<OwnedFd, VhostNetError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.map(OwnedFd::from).map_err(|source| {
        let path = path.to_owned();
        // ENODEV, ENXIO: a device node without its driver.
        match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => VhostNetError::Missing { path },
            _ => VhostNetError::Open { path, source },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_device_names_its_module() {
        let error = open_at(Path::new("/nonexistent/vhost-net")).unwrap_err();
        assert!(matches!(error, VhostNetError::Missing { .. }));
        assert!(error.to_string().contains("vhost_net"), "{error}");
    }

    #[test]
    fn device_that_does_not_open_is_named() {
        // A folder opens for nobody's writing, root's neither.
        let error = open_at(Path::new("/")).unwrap_err();
        assert!(matches!(error, VhostNetError::Open { .. }), "{error}");
    }
}
