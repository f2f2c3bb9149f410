//! The file systems of volumes: memory, a disk's EROFS, a folder of the pod's virtio-fs; and their removal. Blocks.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    path::Path,
};

use rustix::{
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive,
        mount_change,
    },
};

use super::{CONTENT, failed, gone, make_folder};
use crate::{
    fault::{Fault, FaultKind},
    image_files::ImageFiles,
};

/// What the host's virtio-fs device is called.
const TAG: &str = "cofferdam";

/// A tmpfs at `folder`.
pub(super) fn memory(folder: &Path, size_bytes: u64) -> Result<(), Fault> {
    let options = format!("size={size_bytes},mode=0700");
    mount_one("tmpfs", folder, "tmpfs", (MountFlags::NODEV, &options))
        .map_err(failed("mount memory for a volume"))
}

/// The EROFS on `disk`, at `content`.
pub(super) fn image(disk: &Path, content: &Path) -> Result<(), Fault> {
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOATIME;
    fs::create_dir(content)
        .and_then(|()| mount_one(disk, content, "erofs", (flags, "")))
        .map_err(failed(&format!("mount the volume on {}", disk.display())))
}

/// The EROFS in files of the host, at `content`.
pub(super) fn image_files(files: &ImageFiles, content: &Path) -> Result<(), Fault> {
    fs::create_dir(content).map_err(failed("make the mount point of an image"))?;
    files
        .mount(content)
        .map_err(|error| Fault::internal(&error))
}

/// What the pod's virtio-fs has in its root as `name`, at `content`. The virtio-fs is mounted at `shares` when it is not yet.
pub(super) fn share(shares: &Path, name: &str, content: &Path) -> Result<(), Fault> {
    if !shares.exists() {
        make_folder(shares)?;
        let mounted = mount_one(TAG, shares, "virtiofs", (MountFlags::empty(), ""));
        if let Err(error) = mounted {
            drop(fs::remove_dir(shares));
            return Err(failed("mount the pod's virtio-fs")(error));
        }
    }
    let source = shares.join(name);
    let about = fs::symlink_metadata(&source).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault::new(
            FaultKind::NotFound,
            format!("the pod's virtio-fs has no {name:?}"),
        ),
        _ => failed(&format!("look at the share {name:?}"))(error),
    })?;
    let point = match about.is_dir() {
        true => fs::create_dir(content),
        false => File::create_new(content).map(drop),
    };
    point
        .and_then(|()| Ok(mount_bind_recursive(&source, content)?))
        .map_err(failed(&format!("mount the share {name:?}")))
}

/// Lets what is mounted in the volume be seen wherever it is mounted as a peer or a slave. Idempotent.
pub(super) fn share_mounts(content: &Path) -> io::Result<()> {
    match mount_change(content, MountPropagationFlags::SHARED) {
        // A folder in the volume's memory: it becomes a mount of its own (mount(2)).
        Err(Errno::INVAL) => {
            mount_bind(content, content)?;
            Ok(mount_change(content, MountPropagationFlags::SHARED)?)
        }
        changed => Ok(changed?),
    }
}

/// Unmounts and removes a volume's folder. Idempotent. Folders that may be mount points are not removed recursively: what is behind a mount that stays is
/// not deleted.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let content = folder.join(CONTENT);
    let alone = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    match mount_change(&content, alone) {
        // No mount, or not there (mount(2)). Of one that is shared, what containers have mounted in it would be unmounted for them, too.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    unmount(&content)?;
    if unmount(folder)? {
        return gone(fs::remove_dir(folder));
    }
    match fs::symlink_metadata(&content) {
        Ok(about) if about.is_dir() => fs::remove_dir(&content)?,
        Ok(_) => fs::remove_file(&content)?,
        Err(_none) => {}
    }
    gone(fs::remove_dir(folder))
}

pub(super) fn remove_shares(shares: &Path) -> io::Result<()> {
    unmount(shares)?;
    gone(fs::remove_dir(shares))
}

/// Whether something was mounted there.
pub(super) fn unmount(path: &Path) -> io::Result<bool> {
    match rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH) {
        Ok(()) => Ok(true),
        // Not mounted, or not there (umount2(2)).
        Err(Errno::INVAL | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn mount_one(
    source: impl AsRef<Path>,
    target: &Path,
    kind: &str,
    (flags, options): (MountFlags, &str),
) -> io::Result<()> {
    let options = CString::new(options)?;
    let options = (!options.is_empty()).then_some(options.as_c_str());
    Ok(rustix::mount::mount(
        source.as_ref(),
        target,
        kind,
        flags,
        options,
    )?)
}
