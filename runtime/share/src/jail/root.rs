//! A root with nothing in it but mount points and /proc. Main function: [`replace`]. `share-client` mounts onto `/shares/folder-0` and
//! `/shares/file-0` and so on, by these names.

use std::{fs, io};

use rustix::{
    fs::CWD,
    mount::{
        self, FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
        MoveMountFlags, UnmountFlags,
    },
    process,
};

use super::{AS_ROOT, JailError, refused};

/// What is served.
pub const TREE: &str = "/shares";

const NEW_MOUNTS: &str = "the kernel needs tmpfs and the mount calls of Linux 5.2";
const PROC_OPTIONS: &str = "the kernel needs proc's options of Linux 5.8";

const EMPTY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Makes a fresh tmpfs the root, lets go of the host's mounts, and closes the root for writing.
///
/// pivot_root(2) describes the form with two dots: the old root ends up on top of the new one, where it is unmounted.
pub(super) fn replace(mount_points: u16) -> Result<(), JailError> {
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount::mount_change("/", private)
        .map_err(refused("keep mounts from reaching the host", AS_ROOT))?;
    let tmpfs = mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(refused("open a tmpfs", NEW_MOUNTS))?;
    mount::fsconfig_set_string(&tmpfs, "mode", "0755")
        .and_then(|()| mount::fsconfig_create(&tmpfs))
        .map_err(refused("make a tmpfs", NEW_MOUNTS))?;
    let root = mount::fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, EMPTY)
        .map_err(refused("make a mount of the tmpfs", NEW_MOUNTS))?;
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    mount::move_mount(&root, "", CWD, "/", by_descriptor)
        .map_err(refused("mount the tmpfs", NEW_MOUNTS))?;
    process::fchdir(&root).map_err(refused("enter the empty root", AS_ROOT))?;
    process::pivot_root(".", ".").map_err(refused("make the empty root the root", AS_ROOT))?;
    mount::unmount(".", UnmountFlags::DETACH)
        .map_err(refused("let go of the host's mounts", AS_ROOT))?;
    process::chdir("/").map_err(refused("enter the new root", AS_ROOT))?;
    fill(mount_points).map_err(refused("make the mount points", AS_ROOT))?;
    mount_proc()?;
    let flags = MountFlags::BIND
        | MountFlags::RDONLY
        | MountFlags::NOSUID
        | MountFlags::NODEV
        | MountFlags::NOEXEC;
    mount::mount_remount("/", flags, "").map_err(refused("close the root for writing", AS_ROOT))
}

fn fill(mount_points: u16) -> io::Result<()> {
    fs::create_dir("/proc")?;
    fs::create_dir(TREE)?;
    for number in 0..mount_points {
        fs::create_dir(format!("{TREE}/folder-{number}"))?;
        fs::write(format!("{TREE}/file-{number}"), [])?;
    }
    Ok(())
}

/// The process opens files again through /proc/self/fd. It sees no other process, for it has a PID namespace of its own.
fn mount_proc() -> Result<(), JailError> {
    let proc = mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(refused("open a proc file system", PROC_OPTIONS))?;
    for (option, value) in [("hidepid", "invisible"), ("subset", "pid")] {
        mount::fsconfig_set_string(&proc, option, value)
            .map_err(refused("set an option of a proc file system", PROC_OPTIONS))?;
    }
    mount::fsconfig_create(&proc).map_err(refused("make a proc file system", PROC_OPTIONS))?;
    let proc = mount::fsmount(&proc, FsMountFlags::FSMOUNT_CLOEXEC, EMPTY)
        .map_err(refused("make a mount of a proc file system", PROC_OPTIONS))?;
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    mount::move_mount(&proc, "", CWD, "/proc", by_descriptor)
        .map_err(refused("mount a proc file system", PROC_OPTIONS))
}
