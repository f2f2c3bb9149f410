//! An empty, read-only root. Main function: [`replace`].

use rustix::{
    fs::CWD,
    mount,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
        UnmountFlags,
    },
    process,
};

use super::{AS_ROOT, JailError, refused};

const NEW_MOUNTS: &str = "the kernel needs tmpfs and the mount calls of Linux 5.2";

/// Makes a fresh tmpfs the root and lets go of the host's mounts.
///
/// The tmpfs is mounted over the host's root, the only folder that is sure to exist, and entered by its descriptor.
/// pivot_root(2) describes the form with two dots: the old root ends up on top of the new one, where it is unmounted.
pub(super) fn replace() -> Result<(), JailError> {
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount::mount_change("/", private)
        .map_err(refused("keep mounts from reaching the host", AS_ROOT))?;
    let tmpfs = mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(refused("open a tmpfs", NEW_MOUNTS))?;
    mount::fsconfig_create(&tmpfs).map_err(refused("make a tmpfs", NEW_MOUNTS))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let empty = mount::fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(refused("make a mount of the tmpfs", NEW_MOUNTS))?;
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    mount::move_mount(&empty, "", CWD, "/", by_descriptor)
        .map_err(refused("mount the tmpfs", NEW_MOUNTS))?;
    process::fchdir(&empty).map_err(refused("enter the empty root", AS_ROOT))?;
    process::pivot_root(".", ".").map_err(refused("make the empty root the root", AS_ROOT))?;
    mount::unmount(".", UnmountFlags::DETACH)
        .map_err(refused("let go of the host's mounts", AS_ROOT))?;
    process::chdir("/").map_err(refused("enter the new root", AS_ROOT))?;
    Ok(())
}
