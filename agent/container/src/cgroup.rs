//! The cgroup of one container: made, limited, watched, killed and removed. Its main type is [`Cgroup`]; what to write into its
//! files is decided in `plan`, from values to values.
//!
//! libcgroups 0.7 only moves the process into it. Its own limits are not used: `io.weight` is computed in 16 bits and
//! overflows, a swap limit equal to the memory limit is dropped, device rules need libbpf and are dropped without it, and a
//! value of 0 is skipped in silence.

mod plan;
mod update;
mod usage;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use oci_spec::runtime::LinuxResources;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
};
use thiserror::Error;

pub use plan::PlanError;
pub use usage::{Pressure, PressureShare, Usage};

use crate::{
    deadlines::KILL_DEADLINE,
    device_filter::{self, DeviceFilterError},
};

/// Where cgroup version 2 is mounted, here and for libcontainer.
pub const MOUNT_POINT: &str = "/sys/fs/cgroup";

/// Begins the names of the execs' cgroups, so that they are not mistaken for those that a container makes.
const EXEC_PREFIX: &str = "cofferdam-exec-";

/// An attempt on a cgroup that failed.
#[derive(Debug, Error)]
pub enum CgroupError {
    #[error("make cgroup {path}")]
    Create { path: PathBuf, source: io::Error },
    #[error("set {file} of the container's cgroup to {value:?}")]
    Write {
        file: String,
        value: String,
        source: io::Error,
    },
    #[error("read {file} of the container's cgroup")]
    Read { file: String, source: io::Error },
    #[error("{refused}; and what was changed before is not put back")]
    NotUndone {
        refused: String,
        source: Box<CgroupError>,
    },
    #[error("the memory limit can't be {limit} bytes: {used} are in use")]
    InUse { limit: u64, used: u64 },
    #[error("the guest's cgroups have no {file}, which the limit {value:?} needs")]
    NoSuchFile { file: String, value: String },
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("limit the devices of the container's cgroup")]
    Devices(#[source] DeviceFilterError),
    #[error("kill the processes of cgroup {path}")]
    Kill { path: PathBuf, source: io::Error },
    #[error("processes of cgroup {path} are still there {}s after they were killed", KILL_DEADLINE.as_secs())]
    StillPopulated { path: PathBuf },
    #[error("remove cgroup {path}")]
    Remove { path: PathBuf, source: io::Error },
}

/// The cgroup of one container. Dropping it leaves the cgroup as it is.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Names the cgroup at `relative` (which begins with a slash) below [`MOUNT_POINT`], whether it exists or not.
    #[must_use]
    pub fn at(relative: &Path) -> Self {
        let below = relative.strip_prefix("/").unwrap_or(relative);
        Self {
            path: Path::new(MOUNT_POINT).join(below),
        }
    }

    /// Makes it, and passes all controllers down to it.
    ///
    /// # Errors
    /// When a folder on the way cannot be made.
    pub fn create(&self) -> Result<(), CgroupError> {
        let below = self.path.strip_prefix(MOUNT_POINT).unwrap_or(Path::new(""));
        let mut path = PathBuf::from(MOUNT_POINT);
        for name in below {
            pass_controllers_down(&path);
            path.push(name);
            match fs::create_dir(&path) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(CgroupError::Create { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Applies every limit, or says which one it could not.
    ///
    /// # Errors
    /// When a limit has no counterpart in cgroup version 2, its controller is missing, or the kernel refuses the value.
    pub fn limit(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        for write in plan::writes(resources)? {
            self.write(write)?;
        }
        match resources.devices() {
            Some(rules) if !rules.is_empty() => {
                device_filter::attach(&self.path, rules).map_err(CgroupError::Devices)
            }
            _ => Ok(()),
        }
    }

    fn write(&self, write: plan::Write) -> Result<(), CgroupError> {
        let plan::Write {
            file,
            value,
            optional,
        } = write;
        let path = self.path.join(&file);
        match (path.exists(), optional) {
            (true, _) => fs::write(path, &value).map_err(|source| CgroupError::Write {
                file,
                value,
                source,
            }),
            (false, true) => Ok(()),
            (false, false) => Err(CgroupError::NoSuchFile { file, value }),
        }
    }

    /// Kills every process in it and waits until none is left. Fine when it does not exist.
    ///
    /// # Errors
    /// When the kernel refuses, or processes outlive [`KILL_DEADLINE`].
    pub fn kill(&self) -> Result<(), CgroupError> {
        self.kill_without_wait()?;
        if !self.path.exists() {
            return Ok(());
        }
        let until = Instant::now() + KILL_DEADLINE;
        match self.wait_until_empty(until) {
            Ok(true) => Ok(()),
            Ok(false) => Err(CgroupError::StillPopulated {
                path: self.path.clone(),
            }),
            Err(source) => Err(CgroupError::Kill {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Kills every process in it and below it. Fine when it does not exist.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill_without_wait(&self) -> Result<(), CgroupError> {
        match fs::write(self.path.join("cgroup.kill"), "1") {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CgroupError::Kill {
                path: self.path.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }

    /// `cgroup.events` is signalled with POLLPRI when `populated` changes (cgroup-v2.rst, "Core Interface Files").
    fn wait_until_empty(&self, until: Instant) -> io::Result<bool> {
        let mut file = fs::File::open(self.path.join("cgroup.events"))?;
        loop {
            let events = read_again(&mut file)?;
            if number_after(&events, "populated") == 0 {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let timeout = timespec(left);
            retry_on_intr(|| poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&timeout)))?;
        }
    }

    /// Removes it and the cgroups that its processes made below it. No process may be left. Fine when it does not exist.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&self) -> Result<(), CgroupError> {
        remove_tree(&self.path).map_err(|source| CgroupError::Remove {
            path: self.path.clone(),
            source,
        })
    }

    /// The cgroup of one exec, below this one. It gets no controllers, so this one may keep its processes ("no internal process
    /// constraint"), and what the exec uses counts here.
    #[must_use]
    pub fn of_exec(&self, exec_id: &str) -> Self {
        Self {
            path: self.path.join(format!("{EXEC_PREFIX}{exec_id}")),
        }
    }

    /// Makes it below one that exists, and opens the file that moves a process into it. The kernel asks whether the opener may do
    /// that, not the writer (kernel/cgroup/cgroup.c, cgroup_procs_write_start).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create_and_open(&self) -> io::Result<fs::File> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::OpenOptions::new()
            .write(true)
            .open(self.path.join("cgroup.procs"))
    }

    /// The processes in it and below it.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        collect_processes(&self.path, &mut found);
        found
    }

    /// The file whose POLLPRI says that the kernel's OOM killer was here; none without the memory controller.
    #[must_use]
    pub fn memory_events(&self) -> Option<PathBuf> {
        let path = self.path.join("memory.events");
        path.exists().then_some(path)
    }

    /// How many processes the OOM killer has killed in it and below it.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        number_after(&self.read("memory.events"), "oom_kill")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap_or_default()
    }
}

/// Every controller that `path` has is enabled for its children. A controller that refuses (one with realtime tasks, say) is
/// reported later, by the limit that needs it.
pub fn pass_controllers_down(path: &Path) {
    let Ok(controllers) = fs::read_to_string(path.join("cgroup.controllers")) else {
        return;
    };
    for controller in controllers.split_whitespace() {
        let enabled = fs::write(
            path.join("cgroup.subtree_control"),
            format!("+{controller}"),
        );
        drop(enabled);
    }
}

fn collect_processes(path: &Path, found: &mut Vec<i32>) {
    let procs = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    found.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()));
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect_processes(&entry.path(), found);
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

fn read_again(file: &mut fs::File) -> io::Result<String> {
    use std::io::{Read, Seek};
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The number of the line "key number", else 0.
fn number_after(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, number)| number.trim().parse().ok())
        .unwrap_or(0)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
