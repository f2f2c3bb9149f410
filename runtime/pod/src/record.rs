//! The run folder of a pod: what a later process finds when this one dies. It is made before anything else of the pod and removed
//! last; its `record.json` is locked while its owner lives, so a lock that can be taken means an owner that is gone. Main type:
//! [`RunFolder`]. [`sweep`] ends what a dead owner left.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use model::{ContainerId, PodId};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vm_client::Monitor;

use crate::{
    Deadlines,
    cgroup::Cgroup,
    error::PodError,
    home::HostRecord,
    plan::{Lifetime, PodPlan},
    scratch::Scratch,
    teardown::remove_layers,
};

const RECORD: &str = "record.json";
const VERSION: u32 = 1;

/// What is written about a pod.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    pod: PodId,
    owner_pid: u32,
    /// Whether the pod outlives its owner: then a sweep leaves it to the daemon that comes back.
    #[serde(default)]
    lasting: bool,
    /// The pod's cgroup on this host, whether it has been made yet or not.
    #[serde(default)]
    cgroup: Option<PathBuf>,
    /// The pod's scratch disk, whether it has been made yet or not.
    #[serde(default)]
    scratch: Option<PathBuf>,
    /// None of a pod in a VM.
    #[serde(default)]
    host: Option<HostRecord>,
}

/// A run folder could not be made, or what was left could not be removed.
#[derive(Debug, Error)]
pub enum RecordError {
    /// It is there already, and its owner lives.
    #[error("pod {pod} exists already ({} is in use)", folder.display())]
    Exists {
        /// The id.
        pod: PodId,
        /// Its folder.
        folder: PathBuf,
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
}

pub(crate) fn io_error(
    attempt: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    move |source| RecordError::Io {
        attempt,
        path,
        source,
    }
}

/// The run folder of a pod that this process owns.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    // Holds the lock; closing it gives the lock up.
    _record: File,
}

impl RunFolder {
    /// Makes and locks it.
    pub(crate) fn create(
        plan: &PodPlan,
        cgroup: Option<&Cgroup>,
        scratch: Option<&Scratch>,
        host: Option<HostRecord>,
    ) -> Result<Self, RecordError> {
        Self::create_in(
            &plan.pods_dir,
            &Record {
                version: VERSION,
                pod: plan.id.clone(),
                owner_pid: std::process::id(),
                lasting: plan.lifetime != Lifetime::WithLauncher,
                cgroup: cgroup.map(|cgroup| cgroup.path().to_owned()),
                scratch: scratch.map(|scratch| scratch.path().to_owned()),
                host,
            },
        )
    }

    fn create_in(pods_dir: &Path, content: &Record) -> Result<Self, RecordError> {
        let pod = &content.pod;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(pods_dir)
            .map_err(io_error("make the folder of all pods", pods_dir))?;
        let path = pods_dir.join(pod.as_str());
        if let Err(source) = DirBuilder::new().mode(0o700).create(&path) {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return Err(RecordError::Exists {
                    pod: pod.clone(),
                    folder: path,
                });
            }
            return Err(io_error("make the pod's folder", &path)(source));
        }
        match write_record(&path, content) {
            Ok(record) => Ok(Self {
                path,
                _record: record,
            }),
            Err(error) => {
                // Nothing is in it but what was just tried; the first error is the one to report.
                drop(fs::remove_dir_all(&path));
                Err(error)
            }
        }
    }

    /// Takes the folder of a pod whose owner is gone.
    pub(crate) fn take_over(pods_dir: &Path, pod: &PodId) -> Result<Self, RecordError> {
        let path = pods_dir.join(pod.as_str());
        let record = path.join(RECORD);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&record)
            .map_err(io_error("open the pod's record", &record))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                path,
                _record: file,
            }),
            Err(_locked) => Err(RecordError::Exists {
                pod: pod.clone(),
                folder: path,
            }),
        }
    }

    /// The pod's cgroup, as the record has it.
    pub(crate) fn cgroup(&self) -> Option<PathBuf> {
        recorded(&self.path)?.cgroup
    }

    /// The pod's scratch disk, as the record has it.
    pub(crate) fn scratch(&self) -> Option<PathBuf> {
        recorded(&self.path)?.scratch
    }

    /// What it says of a pod on the node.
    pub(crate) fn host(&self) -> Option<HostRecord> {
        recorded(&self.path)?.host
    }

    /// Where it is kept how far a container's output has been written to its log.
    pub(crate) fn log_position(&self, container: &ContainerId) -> PathBuf {
        self.path.join(format!("{container}.position"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it: the last step of a teardown.
    pub(crate) fn remove(self) -> Result<(), RecordError> {
        fs::remove_dir_all(&self.path).map_err(io_error("remove the pod's folder", &self.path))
    }
}

fn write_record(folder: &Path, record: &Record) -> Result<File, RecordError> {
    let path = folder.join(RECORD);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(io_error("make the pod's record", &path))?;
    // Waits only for a sweep that looks at this young, still empty record at this very moment; it lets go at once.
    let lock = flock(&file, FlockOperation::LockExclusive);
    lock.map_err(|errno| io_error("lock the pod's record", &path)(errno.into()))?;
    let text = serde_json::to_vec(record)
        .map_err(|error| io_error("write the pod's record", &path)(error.into()))?;
    file.write_all(&text)
        .map_err(io_error("write the pod's record", &path))?;
    Ok(file)
}

/// Ends what dead owners left under `pods_dir`, and says which pods those were. What can't be removed stays for the next sweep. Pods
/// that outlive their daemon are left to the next one.
///
/// # Errors
/// When the folder can't be read.
pub async fn sweep(pods_dir: &Path, deadlines: Deadlines) -> Result<Vec<String>, RecordError> {
    sweep_where(pods_dir, deadlines, |record| !record.lasting).await
}

/// The same for the pods of a daemon that nobody has taken over.
pub(crate) async fn sweep_lasting(
    pods_dir: &Path,
    deadlines: Deadlines,
) -> Result<Vec<String>, RecordError> {
    sweep_where(pods_dir, deadlines, |record| record.lasting).await
}

async fn sweep_where(
    pods_dir: &Path,
    deadlines: Deadlines,
    mine: impl Fn(&Record) -> bool,
) -> Result<Vec<String>, RecordError> {
    let entries = match fs::read_dir(pods_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io_error("read the folder of all pods", pods_dir)(source)),
    };
    let mut swept = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("read the folder of all pods", pods_dir))?;
        let path = entry.path();
        // What can't be read is nobody's, and so anybody's.
        let record = recorded(&path);
        if !record.as_ref().is_none_or(&mine) {
            continue;
        }
        let Some(lock) = take_abandoned(&path) else {
            continue;
        };
        if let Ok(monitor) = Monitor::attach(&path, deadlines.monitor).await {
            let ending = monitor.stop(deadlines.stop).await;
            tracing::info!(pod = %path.display(), ?ending.reason, "ended an abandoned monitor");
        }
        if let Some(record) = record
            && let Err(error) = end_recorded(record, deadlines).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(folder = %path.display(), error, "something of an abandoned pod stays");
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => swept.push(entry.file_name().to_string_lossy().into_owned()),
            Err(error) => {
                tracing::warn!(folder = %path.display(), %error, "an abandoned run folder stays");
            }
        }
        drop(lock);
    }
    Ok(swept)
}

/// Ends what a record names outside the run folder. A pod on the node ends with its cgroup.
async fn end_recorded(record: Record, deadlines: Deadlines) -> Result<(), PodError> {
    if let Some(cgroup) = record.cgroup {
        let removed = Cgroup::recorded(cgroup).remove(deadlines.stop).await;
        removed.map_err(PodError::Cgroup)?;
    }
    if let Some(scratch) = record.scratch {
        let removed = Scratch::recorded(scratch).remove();
        removed.map_err(PodError::Scratch)?;
    }
    match record.host {
        Some(host) => remove_layers(host).await,
        None => Ok(()),
    }
}

fn recorded(folder: &Path) -> Option<Record> {
    let bytes = fs::read(folder.join(RECORD)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The lock of a run folder without a living owner. A folder without a record is one whose owner died at its first step.
fn take_abandoned(folder: &Path) -> Option<Option<File>> {
    let path = folder.join(RECORD);
    match OpenOptions::new().read(true).write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_old(folder) => Some(None),
        Err(_unreadable_or_not_a_folder) => None,
        Ok(file) => {
            flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
            // Locked between its owner's creation and its owner's lock: an empty record is not abandoned yet.
            let written = file.metadata().is_ok_and(|about| about.len() > 0);
            (written || is_old(folder)).then_some(Some(file))
        }
    }
}

/// Whether a folder was made longer ago than any owner needs for its first step.
fn is_old(folder: &Path) -> bool {
    const FIRST_STEP: Duration = Duration::from_secs(60);
    let changed = fs::metadata(folder).and_then(|about| about.modified());
    changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > FIRST_STEP))
}

#[cfg(test)]
mod tests;
