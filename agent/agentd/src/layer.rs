//! The writable layer of a container: in memory, on the pod's scratch disk, or on a host in a folder for it. Main type: [`Layer`], whose
//! [`Place`] is known before anything is made there. Used by `root_fs`, `holdings` and `usage`; the disk is `scratch`'s. Blocks.

use std::{
    ffi::CString,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;
use thiserror::Error;

use crate::scratch::{Scratch, ScratchError, ScratchLayer};

/// Room for the mount points and empty files that a container without a writable layer still needs.
const MOUNT_POINT_BYTES: u64 = 1 << 20;

/// `OVERLAYFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// An attempt on a writable layer that failed.
#[derive(Debug, Error)]
pub(crate) enum LayerError {
    #[error("mount {bytes} bytes of memory for the writable layer")]
    Memory { bytes: u64, source: io::Error },
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error("make the writable layer {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error(
        "the writable layer {path} can't lie on an overlay file system; put state_dir on another one"
    )]
    OnOverlay { path: PathBuf },
    #[error("remove the writable layer {path}")]
    Remove { path: PathBuf, source: io::Error },
}

/// The writable layer that is above an image.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    place: Place,
    bytes: u64,
}

/// Where a writable layer lies.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In memory, mounted in the container's folder: it goes with its mount.
    Memory,
    /// On the pod's scratch disk.
    Scratch(ScratchLayer),
    /// In this folder of a host, with as much room as there is.
    Folder(PathBuf),
}

impl Layer {
    /// One of so many bytes, 0 for a root that is read-only for the container; where nothing is yet. It lies in the folder, or else on the disk if the pod
    /// has one, or else in memory. One that takes nothing but mount points needs no disk and no folder.
    pub(crate) fn of(bytes: u64, folder: Option<PathBuf>, scratch: &Scratch) -> Self {
        let place = match folder {
            _ if bytes == 0 => Place::Memory,
            Some(path) => Place::Folder(path),
            None => scratch.layer().map_or(Place::Memory, Place::Scratch),
        };
        Self { place, bytes }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Makes it, with `target` as its mount point where it needs one. Gives the folder that it is in. What a failed attempt has made,
    /// [`Layer::remove`] takes away.
    pub(crate) fn make(&self, target: &Path) -> Result<PathBuf, LayerError> {
        match &self.place {
            Place::Memory => mount_memory(target, self.bytes.max(MOUNT_POINT_BYTES))?,
            Place::Scratch(layer) => layer.bind(target, self.bytes)?,
            Place::Folder(path) => {
                make_folder(path)?;
                return Ok(path.clone());
            }
        }
        Ok(target.to_owned())
    }

    /// Takes it away when it is not mounted any more. One that is gone is as it should be.
    pub(crate) fn remove(&self) -> Result<(), LayerError> {
        match &self.place {
            Place::Memory => Ok(()),
            Place::Scratch(layer) => Ok(layer.remove()?),
            Place::Folder(path) => match fs::remove_dir_all(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    let path = path.clone();
                    Err(LayerError::Remove { path, source })
                }
                _ => Ok(()),
            },
        }
    }
}

/// overlayfs loses what it keeps in attributes where its upper layer lies on another overlay (Linux 6.1, ovl_own_xattr_handlers).
fn make_folder(path: &Path) -> Result<(), LayerError> {
    let failed = |source| LayerError::Folder {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let about = rustix::fs::statfs(path).map_err(|errno| failed(errno.into()))?;
    if u64::try_from(about.f_type).is_ok_and(|kind| kind == OVERLAYFS_MAGIC) {
        return Err(LayerError::OnOverlay {
            path: path.to_owned(),
        });
    }
    Ok(())
}

fn mount_memory(target: &Path, bytes: u64) -> Result<(), LayerError> {
    let options = format!("size={bytes},mode=0755");
    let mount = || -> io::Result<()> {
        let options = CString::new(options)?;
        let flags = MountFlags::NODEV;
        Ok(rustix::mount::mount(
            "tmpfs",
            target,
            "tmpfs",
            flags,
            options.as_c_str(),
        )?)
    };
    mount().map_err(|source| LayerError::Memory { bytes, source })
}

#[cfg(test)]
mod tests;
