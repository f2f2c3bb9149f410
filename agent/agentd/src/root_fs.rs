//! The root file system of a container: the read-only image below, a writable layer in memory above, joined by overlayfs. Blocks.

use std::{
    ffi::CStr,
    fs, io,
    path::{Path, PathBuf},
};

use container::Folder;
use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags},
};
use thiserror::Error;

/// Room for the mount points and empty files that a container without a writable layer still needs.
const MOUNT_POINT_BYTES: u64 = 1 << 20;

/// What is below the writable layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Image {
    /// A disk with an EROFS.
    Disk(PathBuf),
    /// A directory of the agent's own file system.
    Directory(PathBuf),
}

/// An attempt on a root file system that failed.
#[derive(Debug, Error)]
pub(crate) enum RootFsError {
    #[error("make the mount point {path}")]
    MountPoint { path: PathBuf, source: io::Error },
    #[error("mount the image on {device}")]
    Image { device: PathBuf, source: io::Error },
    #[error(
        "the directory {path} can't be a lower layer: overlayfs takes no : , or \\ in its name"
    )]
    DirectoryName { path: PathBuf },
    #[error("mount {bytes} bytes of memory for the writable layer")]
    Writable { bytes: u64, source: io::Error },
    #[error("mount the container's root over its image")]
    Overlay(#[source] io::Error),
    #[error("unmount {path}")]
    Unmount { path: PathBuf, source: io::Error },
}

/// Mounts all of it in the container's folder. What it has mounted when it fails is [`unmount`]'s.
pub(crate) fn mount(
    folder: &Folder,
    image: &Image,
    writable_bytes: u64,
) -> Result<(), RootFsError> {
    for path in [folder.image(), folder.writable(), folder.root()] {
        fs::create_dir(&path).map_err(|source| RootFsError::MountPoint { path, source })?;
    }
    let lower = mount_image(folder, image)?;
    let bytes = writable_bytes.max(MOUNT_POINT_BYTES);
    mount_writable(&folder.writable(), bytes)
        .map_err(|source| RootFsError::Writable { bytes, source })?;
    let (upper, work) = (
        folder.writable().join("upper"),
        folder.writable().join("work"),
    );
    for path in [&upper, &work] {
        fs::create_dir(path).map_err(|source| RootFsError::MountPoint {
            path: path.clone(),
            source,
        })?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={},index=off,metacopy=off,xino=off",
        lower.display(),
        upper.display(),
        work.display()
    );
    mount_one(
        "overlay",
        &folder.root(),
        "overlay",
        MountFlags::empty(),
        &options,
    )
    .map_err(RootFsError::Overlay)
}

/// Unmounts what of it is mounted.
pub(crate) fn unmount(folder: &Folder) -> Result<(), RootFsError> {
    for path in [folder.root(), folder.writable(), folder.image()] {
        match rustix::mount::unmount(&path, UnmountFlags::NOFOLLOW) {
            // Not mounted, or not there (umount2(2)).
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => {
                return Err(RootFsError::Unmount {
                    path,
                    source: errno.into(),
                });
            }
        }
    }
    Ok(())
}

fn mount_image(folder: &Folder, image: &Image) -> Result<PathBuf, RootFsError> {
    match image {
        Image::Disk(device) => {
            let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOATIME;
            mount_one(device, &folder.image(), "erofs", flags, "").map_err(|source| {
                RootFsError::Image {
                    device: device.clone(),
                    source,
                }
            })?;
            Ok(folder.image())
        }
        Image::Directory(path) => {
            let name = path.to_str().unwrap_or(":");
            if name.contains([':', ',', '\\']) {
                return Err(RootFsError::DirectoryName { path: path.clone() });
            }
            Ok(path.clone())
        }
    }
}

fn mount_writable(target: &Path, bytes: u64) -> io::Result<()> {
    mount_one(
        "tmpfs",
        target,
        "tmpfs",
        MountFlags::NODEV,
        &format!("size={bytes},mode=0755"),
    )
}

fn mount_one(
    source: impl AsRef<Path>,
    target: &Path,
    kind: &str,
    flags: MountFlags,
    options: &str,
) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    let options: Option<&CStr> = (!options.is_empty()).then_some(&options);
    Ok(rustix::mount::mount(
        source.as_ref(),
        target,
        kind,
        flags,
        options,
    )?)
}
