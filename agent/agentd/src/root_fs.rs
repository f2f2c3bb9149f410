//! The root file system of a container: the read-only image below, a writable layer above (`layer`: on the pod's scratch disk, in memory, or on a host in a
//! folder for it), joined by overlayfs. Blocks.

use std::{
    ffi::CStr,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use container::{Folder, UserNamespace};
use rustix::{
    fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags},
    io::Errno,
    mount::{MountFlags, UnmountFlags},
};
use thiserror::Error;

use crate::{
    image_files::{ImageFiles, ImageFilesError},
    layer::{Layer, LayerError},
};

/// Largest list of names, and largest value, of extended attributes (limits.h of Linux: XATTR_LIST_MAX, XATTR_SIZE_MAX).
const XATTR_BYTES: usize = 1 << 16;

/// What is below the writable layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Image {
    /// A disk with an EROFS.
    Disk(PathBuf),
    /// A directory of the agent's own file system.
    Directory(PathBuf),
    /// Files of a host's image store.
    Files(ImageFiles),
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
    #[error("mount the image with its owners mapped into the pod's user namespace")]
    Owners(#[source] io::Error),
    #[error(transparent)]
    Files(#[from] ImageFilesError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("give the writable layer the attributes of the image's root")]
    Attributes(#[source] io::Error),
    #[error("mount the container's root over its image")]
    Overlay(#[source] io::Error),
    #[error("unmount {path}")]
    Unmount { path: PathBuf, source: io::Error },
}

/// Mounts all of it in the container's folder; what the image says is root's is the root's of the user namespace, if there is one. What it
/// has mounted when it fails is [`unmount`]'s, and the layer its holder's.
pub(crate) fn mount(
    folder: &Folder,
    image: &Image,
    layer: &Layer,
    user: Option<&UserNamespace>,
) -> Result<(), RootFsError> {
    for path in [folder.image(), folder.writable(), folder.root()] {
        fs::create_dir(&path).map_err(|source| RootFsError::MountPoint { path, source })?;
    }
    let mut lower = mount_image(folder, image)?;
    if let Some(user) = user {
        // overlayfs has no mapping of its own: it shows what the layers show, and keeps in the writable one what it is told (kernel
        // documentation, filesystems/idmappings, "Idmappings when creating idmapped mounts").
        let target = folder.image();
        container::map_owners(&lower, &target, user).map_err(RootFsError::Owners)?;
        lower = target;
    }
    let above = layer.make(&folder.writable())?;
    let (upper, work) = (above.join("upper"), above.join("work"));
    for path in [&upper, &work] {
        fs::create_dir(path).map_err(|source| RootFsError::MountPoint {
            path: path.clone(),
            source,
        })?;
    }
    copy_attributes(&lower, &upper).map_err(RootFsError::Attributes)?;
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

/// What `from` is like, apart from what is in it. overlayfs shows the upper folder as the root of the whole, so without this the
/// image's own mode, owner, attributes and time of `/` would be lost (kernel documentation, filesystems/overlayfs, "Directories").
fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    let about = fs::metadata(from)?;
    std::os::unix::fs::chown(to, Some(about.uid()), Some(about.gid()))?;
    copy_xattrs(from, to)?;
    // After the owner, whose change takes bits away, and after an access list, which is the mode too.
    fs::set_permissions(to, about.permissions())?;
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(about.atime(), about.atime_nsec()),
        last_modification: time(about.mtime(), about.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::empty())?)
}

fn copy_xattrs(from: &Path, to: &Path) -> io::Result<()> {
    let mut buffer = vec![0; XATTR_BYTES];
    let length = match rustix::fs::listxattr(from, &mut buffer[..]) {
        // A file system without any.
        Err(Errno::OPNOTSUPP) => return Ok(()),
        length => length?,
    };
    let names = buffer.get(..length).unwrap_or_default().to_vec();
    let of_overlayfs = |name: &&[u8]| name.starts_with(b"trusted.overlay.");
    let names = names.split(|byte| *byte == 0);
    for name in names.filter(|name| !name.is_empty() && !of_overlayfs(name)) {
        let name = std::ffi::CString::new(name)?;
        let length = rustix::fs::getxattr(from, &*name, &mut buffer[..])?;
        let value = buffer.get(..length).unwrap_or_default();
        rustix::fs::setxattr(to, &*name, value, XattrFlags::empty())?;
    }
    Ok(())
}

/// Unmounts what of it is mounted.
pub(crate) fn unmount(folder: &Folder) -> Result<(), RootFsError> {
    // With its owners mapped, the image is mounted over itself.
    for path in [
        folder.root(),
        folder.writable(),
        folder.image(),
        folder.image(),
    ] {
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
        Image::Files(files) => {
            files.mount(&folder.image())?;
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

#[cfg(test)]
mod tests;
