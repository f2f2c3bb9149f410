//! Volumes that are sockets of the host's: what processes of the pod connect to, and a connection of the host's waits at. Main type: [`Sockets`]. Above:
//! `rpc` makes them, `stdio::wait` accepts.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixListener as StdUnixListener},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent::agent as wire;
use rustix::fs::{AtFlags, CWD, Gid, Uid, chownat};
use tokio::net::UnixListener;

use super::{NEW, failed};
use crate::{fault::Fault, ids::VolumeId};

/// Permission bits.
const MODE: u32 = 0o7777;

/// A checked `HostSocket`.
#[derive(Debug)]
pub(crate) struct SocketPlan {
    mode: u32,
    owner: (u32, u32),
}

/// All of them, by volume. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sockets(Arc<Mutex<HashMap<VolumeId, Arc<UnixListener>>>>);

impl SocketPlan {
    pub(crate) fn parse(socket: &wire::HostSocket) -> Result<Self, Fault> {
        if socket.mode & !MODE != 0 {
            return Err(Fault::invalid(format!(
                "a socket can't have the mode {:o}",
                socket.mode
            )));
        }
        Ok(Self {
            mode: socket.mode,
            owner: (socket.uid, socket.gid),
        })
    }
}

impl Sockets {
    /// Makes the socket of a volume at `content`, where it appears when it is as it shall be. To be called within the runtime. Blocks.
    pub(super) fn bind(
        &self,
        id: VolumeId,
        plan: &SocketPlan,
        content: &Path,
    ) -> Result<(), Fault> {
        let new = content.with_file_name(NEW);
        let bound = bind(&new, plan).and_then(|listener| {
            fs::rename(&new, content)?;
            Ok(listener)
        });
        let listener = bound.map_err(|error| {
            // The folder goes next, and is to be empty. The first error is the one to report.
            drop(fs::remove_file(&new));
            failed(&format!("make the socket of volume {id}"))(error)
        })?;
        self.all().insert(id, Arc::new(listener));
        Ok(())
    }

    pub(super) fn get(&self, id: &VolumeId) -> Option<Arc<UnixListener>> {
        self.all().get(id).cloned()
    }

    pub(super) fn remove(&self, id: &VolumeId) {
        self.all().remove(id);
    }

    /// Held for a look or a change of the table.
    fn all(&self) -> MutexGuard<'_, HashMap<VolumeId, Arc<UnixListener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(path: &Path, plan: &SocketPlan) -> io::Result<UnixListener> {
    let listener = StdUnixListener::bind(path)?;
    let (uid, gid) = plan.owner;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    fs::set_permissions(path, fs::Permissions::from_mode(plan.mode))?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}
