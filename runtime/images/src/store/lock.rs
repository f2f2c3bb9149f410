//! flock(2) with a deadline.
//!
//! A lock is an open file and goes when its last descriptor is closed, so that no killed process
//! leaves one behind. Used by `import`, `remove` and `rootfs`.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{StoreError, io_error};
use crate::limits;

/// Holds the lock while it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

pub(super) fn shared(path: &Path) -> Result<Lock, StoreError> {
    wait(path, FlockOperation::LockShared)
}

pub(super) fn exclusive(path: &Path) -> Result<Lock, StoreError> {
    wait(path, FlockOperation::LockExclusive)
}

/// `None` if another holds it.
pub(super) fn try_exclusive(path: &Path) -> Result<Option<Lock>, StoreError> {
    let file = open(path)?;
    let locked = try_lock(&file, path, FlockOperation::NonBlockingLockExclusive)?;
    Ok(locked.then_some(Lock { _file: file }))
}

/// Locks a file that is open already; false if another's lock is in the way.
pub(super) fn try_lock(
    file: &File,
    path: &Path,
    operation: FlockOperation,
) -> Result<bool, StoreError> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(io_error("lock", path)(errno.into())),
    }
}

/// flock has no timeout, so that a thread waits; if it comes too late it finds nobody listening and
/// lets go.
fn wait(path: &Path, operation: FlockOperation) -> Result<Lock, StoreError> {
    let file = open(path)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("store-lock".to_owned())
        .spawn(move || {
            let result = flock(&file, operation).map(|()| Lock { _file: file });
            // Nobody listens after the deadline: the lock goes with the message.
            sender.send(result).ok();
        })
        .map_err(io_error("start a thread to lock", path))?;
    match receiver.recv_timeout(limits::LOCK_DEADLINE) {
        Ok(result) => result.map_err(|errno| io_error("lock", path)(errno.into())),
        Err(_timeout) => Err(StoreError::Busy {
            path: path.to_owned(),
            seconds: limits::LOCK_DEADLINE.as_secs(),
        }),
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(io_error("open", path))
}
