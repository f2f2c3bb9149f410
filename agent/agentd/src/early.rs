//! The first milliseconds of a guest: a root that can be pivoted away from, the kernel's file systems, cgroups, loopback.

use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use container::cgroup;
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_move},
    process::{Resource, Rlimit, chdir, chroot, setrlimit},
    system::sethostname,
};
use thiserror::Error;

use crate::sys;

/// An attempt without which the guest is of no use.
#[derive(Debug, Error)]
pub(crate) enum EarlyError {
    #[error("make {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("mount {kind} on {target}")]
    Mount {
        kind: &'static str,
        target: &'static str,
        source: io::Error,
    },
    #[error("move the root away from the kernel's own: {step}")]
    Root {
        step: &'static str,
        source: io::Error,
    },
    #[error("bring the loopback interface up")]
    Loopback(#[source] io::Error),
    #[error("set the first host name")]
    HostName(#[source] io::Error),
    #[error("raise the limit of open files")]
    OpenFiles(#[source] io::Error),
}

struct Early {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: &'static str,
}

const fn early(
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: &'static str,
) -> Early {
    Early {
        kind,
        target,
        flags,
        options,
    }
}

const QUIET: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);

/// In this order: a mount's target may be in the one before.
const MOUNTS: [Early; 9] = [
    early("proc", "/proc", QUIET, ""),
    early("sysfs", "/sys", QUIET, ""),
    early("devtmpfs", "/dev", DEVICES, "mode=0755"),
    early(
        "devpts",
        "/dev/pts",
        DEVICES,
        "newinstance,ptmxmode=0666,mode=0620,gid=5",
    ),
    // As large as container runtimes have it; a pod that wants more mounts a volume there.
    early("tmpfs", "/dev/shm", QUIET, "mode=1777,size=65536k"),
    early("mqueue", "/dev/mqueue", QUIET, ""),
    early(
        "tmpfs",
        "/run",
        MountFlags::NOSUID.union(MountFlags::NODEV),
        "mode=0755",
    ),
    early(
        "tmpfs",
        "/tmp",
        MountFlags::NOSUID.union(MountFlags::NODEV),
        "mode=1777",
    ),
    early(
        "cgroup2",
        cgroup::MOUNT_POINT,
        QUIET,
        "nsdelegate,memory_recursiveprot",
    ),
];

/// Where the root is bound for a moment.
const NEW_ROOT: &str = "/root-to-be";

/// What a process may have open at most where its specification sets no limit; the kernel's own default (fs.nr_open).
const OPEN_FILES: u64 = 1 << 20;

/// Until the pod has one.
const HOST_NAME: &str = "cofferdam";

/// Makes the guest usable. To be called once, with one thread, by PID 1.
pub(crate) fn prepare_guest() -> Result<(), EarlyError> {
    leave_the_kernels_root()?;
    for early in &MOUNTS {
        mount_early(early)?;
    }
    // Programs expect these, and no udev makes them.
    for (link, target) in [("/dev/fd", "/proc/self/fd"), ("/dev/ptmx", "/dev/pts/ptmx")] {
        link_device(target, Path::new(link))?;
    }
    cgroup::pass_controllers_down(Path::new(cgroup::MOUNT_POINT));
    sys::loopback_up().map_err(EarlyError::Loopback)?;
    sethostname(HOST_NAME.as_bytes()).map_err(|errno| EarlyError::HostName(errno.into()))?;
    let limit = Rlimit {
        current: Some(OPEN_FILES),
        maximum: Some(OPEN_FILES),
    };
    setrlimit(Resource::Nofile, limit).map_err(|errno| EarlyError::OpenFiles(errno.into()))
}

/// pivot_root(2) refuses to leave the kernel's first root, the initramfs. So the same files are bound to a mount of their own, which
/// is moved over it: containers are made below a root that they can leave.
fn leave_the_kernels_root() -> Result<(), EarlyError> {
    let step = |step: &'static str, result: rustix::io::Result<()>| {
        result.map_err(|errno| EarlyError::Root {
            step,
            source: errno.into(),
        })
    };
    make_folder(Path::new(NEW_ROOT))?;
    step("bind", mount_bind("/", NEW_ROOT))?;
    step("enter", chdir(NEW_ROOT))?;
    step("move", mount_move(".", "/"))?;
    step("chroot", chroot("."))?;
    step("chdir", chdir("/"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    step("make private", mount_change("/", private))
}

fn mount_early(early: &Early) -> Result<(), EarlyError> {
    let Early {
        kind,
        target,
        flags,
        options,
    } = early;
    make_folder(Path::new(target))?;
    let failed = |source| EarlyError::Mount {
        kind,
        target,
        source,
    };
    let options = CString::new(*options).map_err(|nul| failed(nul.into()))?;
    mount(*kind, *target, *kind, *flags, Some(&*options)).map_err(|errno| failed(errno.into()))
}

fn link_device(target: &str, link: &Path) -> Result<(), EarlyError> {
    match symlink(target, link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(EarlyError::Folder {
            path: link.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn make_folder(path: &Path) -> Result<(), EarlyError> {
    fs::create_dir_all(path).map_err(|source| EarlyError::Folder {
        path: path.to_owned(),
        source,
    })
}
