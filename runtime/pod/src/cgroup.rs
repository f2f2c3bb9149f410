//! The cgroup of a pod on its host (version 2): what runs for the pod lives in it, so that its parent's limits hold for all of it. Main
//! types: [`CgroupPlan`], where it is to be, and [`Cgroup`], the one that `launch` makes and the teardown removes. `parent` reads names.
//!
//! Parents that are missing are made, and marked with an extended attribute: the last pod to leave one that is marked removes it, in
//! whichever process that happens. One that others made stays.

mod parent;

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use model::PodId;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{XattrFlags, getxattr, setxattr},
    io::Errno,
};
use thiserror::Error;

pub use parent::{CgroupDriver, CgroupParent, CgroupParentError};

/// Marks what we made (xattr(7)): a cgroup takes attributes of the user's kind since Linux 5.7.
const MARK: &str = "user.cofferdam.made";
/// Another pod that leaves may remove a parent between two steps of ours; so often it does not.
const ATTEMPTS: u32 = 64;
/// Far more than `cgroup.events` has.
const EVENTS_BYTES: usize = 256;
const MOUNTS: &str = "/proc/self/mountinfo";
const USUAL_MOUNT: &str = "/sys/fs/cgroup";

/// Why a pod has no cgroup, or has it still.
#[derive(Debug, Error)]
pub enum CgroupError {
    /// This process may not.
    #[error("make the cgroup {}: not allowed; run as root, on a host whose cgroup v2 is mounted writable", path.display())]
    Denied {
        /// The cgroup.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel refused.
    #[error("{attempt} {}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Killed processes are still there.
    #[error("the processes in cgroup {} did not end within {patience:?} of being killed", path.display())]
    Populated {
        /// The cgroup.
        path: PathBuf,
        /// How long they had.
        patience: Duration,
    },
}

/// Where pods' cgroups are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPlan {
    /// Where cgroup v2 is mounted.
    pub mount: PathBuf,
    /// In whose style the pod's own cgroup is called.
    pub driver: CgroupDriver,
    /// The cgroup in which the pod's is made.
    pub parent: CgroupParent,
}

impl CgroupPlan {
    /// Where cgroup v2 is mounted on this host, the usual place first; none where it is not.
    ///
    /// # Errors
    /// When the mounts can't be read.
    pub fn find_mount() -> io::Result<Option<PathBuf>> {
        Ok(mount_in(&fs::read_to_string(MOUNTS)?))
    }

    fn parents(&self) -> impl Iterator<Item = PathBuf> {
        let names = self.parent.path().iter();
        names.scan(self.mount.clone(), |folder, name| {
            folder.push(name);
            Some(folder.clone())
        })
    }

    fn folder(&self, pod: &PodId) -> PathBuf {
        let name = match self.driver {
            CgroupDriver::Systemd => format!("cofferdam-{pod}.scope"),
            CgroupDriver::Cgroupfs => format!("cofferdam-{pod}"),
        };
        self.mount.join(self.parent.path()).join(name)
    }
}

/// In proc_pid_mountinfo(5) the fifth field is the place, and the kind follows the dash.
fn mount_in(mounts: &str) -> Option<PathBuf> {
    let places = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?;
        (kind.split(' ').next() == Some("cgroup2")).then_some(place)
    });
    let places: Vec<&str> = places.collect();
    let usual = places.iter().find(|place| **place == USUAL_MOUNT);
    usual.or(places.first()).map(PathBuf::from)
}

/// A pod's cgroup. Dropping it removes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// The one that a plan will give a pod, which need not be there yet.
    pub(crate) fn planned(plan: &CgroupPlan, pod: &PodId) -> Self {
        Self::recorded(plan.folder(pod))
    }

    /// The one that a record names, which may be gone.
    pub(crate) fn recorded(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes it and what is missing above it.
    pub(crate) async fn make(&self, plan: CgroupPlan) -> Result<(), CgroupError> {
        let folder = self.folder.clone();
        self.blocking(move || make(&plan, &folder)).await
    }

    /// Whoever's process id is written to this file is moved into it.
    pub(crate) fn processes(&self) -> Result<File, CgroupError> {
        let path = self.folder.join("cgroup.procs");
        let opened = File::options().write(true).open(&path);
        opened.map_err(io_error("open the pod's cgroup at", &path))
    }

    /// Kills what is in it and removes it, and the parents that were made for pods and have none any more. One that is gone is as it
    /// should be.
    pub(crate) async fn remove(&self, patience: Duration) -> Result<(), CgroupError> {
        let folder = self.folder.clone();
        self.blocking(move || remove(&folder, patience)).await
    }

    /// A cgroup waits for the kernel's locks: that is not for a thread of the runtime.
    async fn blocking(
        &self,
        work: impl FnOnce() -> Result<(), CgroupError> + Send + 'static,
    ) -> Result<(), CgroupError> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|ended| {
            Err(io_error("work on the cgroup", &self.folder)(
                io::Error::other(ended),
            ))
        })
    }
}

fn make(plan: &CgroupPlan, folder: &Path) -> Result<(), CgroupError> {
    let mut attempt = 1;
    loop {
        let made = plan.parents().try_for_each(|parent| make_parent(&parent));
        if made.is_ok() {
            hand_down(&plan.mount);
            plan.parents().for_each(|parent| hand_down(&parent));
        }
        match made.and_then(|()| fs::create_dir(folder).map_err(|error| (folder.to_owned(), error)))
        {
            Ok(()) => return Ok(()),
            Err((_, error)) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err((path, source)) => return Err(make_error(path, source)),
        }
    }
}

fn make_error(path: PathBuf, source: io::Error) -> CgroupError {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            CgroupError::Denied { path, source }
        }
        _ => io_error("make the cgroup", &path)(source),
    }
}

fn make_parent(parent: &Path) -> Result<(), (PathBuf, io::Error)> {
    match fs::create_dir(parent) {
        Ok(()) => {
            if let Err(errno) = setxattr(parent, MARK, b"1", XattrFlags::CREATE) {
                // Without the mark it stays when the last pod leaves; it costs its name.
                tracing::debug!(cgroup = %parent.display(), %errno, "a new cgroup can't be marked");
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err((parent.to_owned(), error)),
    }
}

/// Lets the children of a cgroup be accounted and limited by all that it has. What can't be, as below a cgroup with processes of its own,
/// is not: the limits of a pod are its parent's, and need nothing here.
fn hand_down(cgroup: &Path) {
    let words = |name: &str| fs::read_to_string(cgroup.join(name)).unwrap_or_default();
    let (all, given) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
    let missing = all
        .split_whitespace()
        .filter(|name| !given.split_whitespace().any(|given| given == *name));
    for name in missing {
        let written = fs::write(cgroup.join("cgroup.subtree_control"), format!("+{name}"));
        if let Err(error) = written {
            tracing::debug!(cgroup = %cgroup.display(), controller = name, %error, "a controller can't be handed down");
        }
    }
}

fn remove(folder: &Path, patience: Duration) -> Result<(), CgroupError> {
    if !rmdir(folder)? {
        kill(folder, patience)?;
        remove_tree(folder)?;
    }
    let marked = |parent: &&Path| getxattr(*parent, MARK, &mut [0_u8; 8]).is_ok();
    for parent in folder.ancestors().skip(1).take_while(marked) {
        // Another pod's: it is the last one's to remove.
        if !rmdir(parent)? {
            break;
        }
    }
    Ok(())
}

/// Removes an empty cgroup, and says whether it is gone.
fn rmdir(folder: &Path) -> Result<bool, CgroupError> {
    match rustix::fs::rmdir(folder) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::BUSY | Errno::NOTEMPTY) => Ok(false),
        Err(errno) => Err(io_error("remove the cgroup", folder)(errno.into())),
    }
}

fn remove_tree(folder: &Path) -> Result<(), CgroupError> {
    let attempt = "remove the cgroup";
    for entry in fs::read_dir(folder).map_err(io_error(attempt, folder))? {
        let entry = entry.map_err(io_error(attempt, folder))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder).map_err(io_error(attempt, folder))
}

/// Kills all that is in it or below it, and waits until nothing is.
fn kill(folder: &Path, patience: Duration) -> Result<(), CgroupError> {
    let path = folder.join("cgroup.kill");
    fs::write(&path, "1").map_err(io_error("kill what is left in the cgroup by", &path))?;
    let path = folder.join("cgroup.events");
    let attempt = "watch the cgroup's";
    let events = File::open(&path).map_err(io_error(attempt, &path))?;
    let deadline = Instant::now() + patience;
    loop {
        // Read through the descriptor that is polled: the kernel wakes it for what has changed since.
        let mut bytes = [0; EVENTS_BYTES];
        let length = rustix::io::pread(&events, &mut bytes, 0)
            .map_err(|errno| io_error(attempt, &path)(errno.into()))?;
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let path = folder.to_owned();
            return Err(CgroupError::Populated { path, patience });
        }
        wait_for_change(&events, left).map_err(|errno| io_error(attempt, &path)(errno.into()))?;
    }
}

fn wait_for_change(events: &File, patience: Duration) -> Result<(), Errno> {
    let timeout = Timespec::try_from(patience).map_err(|_too_long| Errno::INVAL)?;
    match poll(
        &mut [PollFd::from_borrowed_fd(events.as_fd(), PollFlags::PRI)],
        Some(&timeout),
    ) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn io_error(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_owned();
    move |source| CgroupError::Io {
        attempt,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
