//! The pod's scratch disk: one XFS for the writable layers of all containers, each a folder with a project quota of its own, so that a
//! container that fills its layer gets ENOSPC and no other does. Main types: [`Scratch`], [`ScratchLayer`]. Above: `layer`. Blocks.
//!
//! A limit is of the container's layer, not of the container: a process that may change a file's project (ioctl_fssetxattr(2): its
//! owner) can take files out of the count. What it can't pass is the end of the disk, which is the pod's alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use rustix::mount::{MountFlags, UnmountFlags};
use thiserror::Error;

use crate::sys::quota;

/// Below the agent's state; no container's id begins with a dot.
const FOLDER: &str = ".scratch";

/// Folder of the layers on the disk.
const LAYERS: &str = "layers";

/// Folder of layers that are being deleted.
const GONE: &str = "gone";

/// Blocks that are free again are told to the host, which makes holes of them: `discard`. `prjquota`: projects are counted and limited.
const OPTIONS: &std::ffi::CStr = c"prjquota,discard";

/// An attempt on the scratch disk that failed.
#[derive(Debug, Error)]
pub(crate) enum ScratchError {
    #[error("the pod's scratch disk is {first}; it can't have {device} too")]
    Second { first: PathBuf, device: PathBuf },
    #[error("make {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("mount the scratch disk {device}")]
    Mount { device: PathBuf, source: io::Error },
    #[error("limit the writable layer {path} to {bytes} bytes")]
    Limit {
        path: PathBuf,
        bytes: u64,
        source: io::Error,
    },
    #[error("put the writable layer {path} in its place")]
    Bind { path: PathBuf, source: io::Error },
    #[error("remove the writable layer {path}")]
    Remove { path: PathBuf, source: io::Error },
}

/// Where the pod's scratch disk is mounted, once it has one. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    at: PathBuf,
    device: Arc<OnceLock<PathBuf>>,
    /// The next container's project; 0 is everything else's.
    next_project: Arc<AtomicU32>,
}

/// The folder of one container's writable layer on the disk.
#[derive(Debug, Clone)]
pub(crate) struct ScratchLayer {
    disk: PathBuf,
    project: u32,
}

impl Scratch {
    /// Mounts nothing yet.
    pub(crate) fn below(state: &Path) -> Self {
        Self {
            at: state.join(FOLDER),
            device: Arc::default(),
            next_project: Arc::new(AtomicU32::new(1)),
        }
    }

    /// Mounts the disk. Once more for the same disk does nothing.
    pub(crate) fn mount(&self, device: &Path) -> Result<(), ScratchError> {
        match self.device.get() {
            None => {}
            Some(first) if first == device => return Ok(()),
            Some(first) => {
                return Err(ScratchError::Second {
                    first: first.clone(),
                    device: device.to_owned(),
                });
            }
        }
        make(&self.at)?;
        // Devices of the layers are the overlay's to show, which is a mount of its own.
        let flags = MountFlags::NODEV;
        rustix::mount::mount(device, &self.at, "xfs", flags, OPTIONS).map_err(|errno| {
            ScratchError::Mount {
                device: device.to_owned(),
                source: errno.into(),
            }
        })?;
        for folder in [LAYERS, GONE] {
            make(&self.at.join(folder))?;
        }
        // One StartPod is carried out at a time.
        drop(self.device.set(device.to_owned()));
        Ok(())
    }

    /// A place for one more container's writable layer, where nothing is yet. None when the pod has no disk.
    pub(crate) fn layer(&self) -> Option<ScratchLayer> {
        self.device.get()?;
        Some(ScratchLayer {
            disk: self.at.clone(),
            project: self.next_project.fetch_add(1, Ordering::Relaxed),
        })
    }
}

impl ScratchLayer {
    fn path(&self) -> PathBuf {
        self.disk.join(LAYERS).join(self.project.to_string())
    }

    /// Makes the folder with its limit, and binds it to `target`. What a failed attempt has made, [`ScratchLayer::remove`] takes away.
    pub(crate) fn bind(&self, target: &Path, bytes: u64) -> Result<(), ScratchError> {
        let path = self.path();
        make(&path)?;
        let limited = quota::set_limit(&self.disk, self.project, bytes)
            .and_then(|()| quota::set_project(&path, self.project));
        limited.map_err(|source| ScratchError::Limit {
            path: path.clone(),
            bytes,
            source,
        })?;
        rustix::mount::mount_bind(&path, target).map_err(|errno| ScratchError::Bind {
            path,
            source: errno.into(),
        })
    }

    /// Bytes and inodes in it.
    pub(crate) fn usage(&self) -> io::Result<(u64, u64)> {
        quota::usage(&self.disk, self.project)
    }

    /// Takes the layer away. Its files are deleted by a thread that nobody waits for: there may be many. One that is gone already is no
    /// error.
    pub(crate) fn remove(&self) -> Result<(), ScratchError> {
        let path = self.path();
        let gone = self.disk.join(GONE).join(self.project.to_string());
        match fs::rename(&path, &gone) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(ScratchError::Remove { path, source }),
        }
        // What can't be deleted goes with the disk.
        thread::spawn(move || drop(fs::remove_dir_all(gone)));
        Ok(())
    }
}

fn make(path: &Path) -> Result<(), ScratchError> {
    fs::create_dir_all(path).map_err(|source| ScratchError::Folder {
        path: path.to_owned(),
        source,
    })
}

/// Unmounts the disk, of an agent that ends while its machine goes on.
pub(crate) fn unmount(scratch: &Scratch) -> io::Result<()> {
    match scratch.device.get() {
        None => Ok(()),
        Some(_) => {
            rustix::mount::unmount(&scratch.at, UnmountFlags::DETACH)?;
            fs::remove_dir(&scratch.at)
        }
    }
}
