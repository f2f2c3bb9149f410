//! The record of a pod that outlives its daemon: one folder with `pod.json` and a file for each container. Main type: [`Book`]. The
//! owner writes after each change, `recover` reads. A file is replaced whole, by renaming, so a reader never sees half of one; it is not
//! synced to the disk, because a host that loses power has lost its pods, too.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model::{ContainerId, PodId, Stage};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    container::{Container, Note},
    record::{RecordError, io_error},
    status::PodPhase,
};

const VERSION: u32 = 1;
const POD: &str = "pod.json";
const CONTAINER_SUFFIX: &str = ".container.json";
/// Largest file that is read back, in bytes: far above what a front door's note has.
const MOST_BYTES: u64 = 8 << 20;

/// What is written about a pod beside its containers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PodRecord {
    pub(crate) version: u32,
    pub(crate) id: PodId,
    pub(crate) note: Note,
    pub(crate) created_at_ns: i64,
    pub(crate) hostname: String,
    pub(crate) phase: PodPhase,
    /// How long each stage of its start took.
    #[serde(default)]
    pub(crate) stages: Vec<Stage>,
}

impl PodRecord {
    pub(crate) fn new(id: PodId, note: Note, created_at_ns: i64, hostname: String) -> Self {
        Self {
            version: VERSION,
            id,
            note,
            created_at_ns,
            hostname,
            phase: PodPhase::Running,
            stages: Vec::new(),
        }
    }
}

/// The folder of one pod's record.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    folder: PathBuf,
}

/// What a folder said.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) book: Book,
    pub(crate) pod: PodRecord,
    pub(crate) containers: Vec<Container>,
    /// Files that could not be read, with the reason; they stay.
    pub(crate) broken: Vec<(PathBuf, RecordError)>,
}

impl Book {
    /// Makes the record of a new pod.
    pub(crate) async fn create(records_dir: &Path, pod: PodRecord) -> Result<Self, RecordError> {
        let folder = records_dir.join(pod.id.as_str());
        let book = Self { folder };
        let made = book.clone();
        blocking(&book.folder, move || {
            let make = |recursive, path: &Path| {
                DirBuilder::new()
                    .recursive(recursive)
                    .mode(0o700)
                    .create(path)
                    .map_err(io_error("make the record's folder", path))
            };
            if let Some(all) = made.folder.parent() {
                make(true, all)?;
            }
            make(false, &made.folder)?;
            write(&made.folder, POD, &pod)
        })
        .await?;
        Ok(book)
    }

    pub(crate) async fn save_pod(&self, pod: PodRecord) -> Result<(), RecordError> {
        let folder = self.folder.clone();
        blocking(&self.folder, move || write(&folder, POD, &pod)).await
    }

    pub(crate) async fn save_container(&self, container: Container) -> Result<(), RecordError> {
        let folder = self.folder.clone();
        let name = file_name(&container.id);
        blocking(&self.folder, move || write(&folder, &name, &container)).await
    }

    /// Removes the record of one container; one that is not there is no error.
    pub(crate) async fn forget_container(&self, id: &ContainerId) -> Result<(), RecordError> {
        let path = self.folder.join(file_name(id));
        blocking(&self.folder, move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove the container's record", &path)(error))
            }
            _gone => Ok(()),
        })
        .await
    }

    /// Removes the whole record.
    pub(crate) async fn remove(&self) -> Result<(), RecordError> {
        let folder = self.folder.clone();
        blocking(&self.folder, move || match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove the pod's record", &folder)(error))
            }
            _gone => Ok(()),
        })
        .await
    }

    /// Reads one record back.
    ///
    /// # Errors
    /// When the pod's own file can't be read. Containers' files that can't be are in [`Read::broken`].
    pub(crate) fn read(folder: &Path) -> Result<Read, RecordError> {
        let pod: PodRecord = read(&folder.join(POD))?;
        let (mut containers, mut broken) = (Vec::new(), Vec::new());
        let entries = fs::read_dir(folder).map_err(io_error("read the record's folder", folder))?;
        for entry in entries {
            let entry = entry.map_err(io_error("read the record's folder", folder))?;
            let path = entry.path();
            let name = entry.file_name();
            if !name.to_string_lossy().ends_with(CONTAINER_SUFFIX) {
                continue;
            }
            match read(&path) {
                Ok(container) => containers.push(container),
                Err(error) => broken.push((path, error)),
            }
        }
        let book = Self {
            folder: folder.to_owned(),
        };
        Ok(Read {
            book,
            pod,
            containers,
            broken,
        })
    }
}

fn file_name(id: &ContainerId) -> String {
    format!("{id}{CONTAINER_SUFFIX}")
}

fn write<T: Serialize>(folder: &Path, name: &str, value: &T) -> Result<(), RecordError> {
    let path = folder.join(name);
    // One owner writes, so the name is free; what a killed one left is overwritten.
    let fresh = folder.join(format!("{name}.new"));
    let attempt = "write the record";
    let bytes =
        serde_json::to_vec(value).map_err(|error| io_error(attempt, &path)(error.into()))?;
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| fs::rename(&fresh, &path));
    written.map_err(|error| {
        // Half a file is of no use; the first error is the one to report.
        drop(fs::remove_file(&fresh));
        io_error(attempt, &path)(error)
    })
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, RecordError> {
    let attempt = "read the record";
    let length = fs::metadata(path).map_err(io_error(attempt, path))?.len();
    if length > MOST_BYTES {
        let too_large = io::Error::other(format!("it has {length} bytes, {MOST_BYTES} at most"));
        return Err(io_error(attempt, path)(too_large));
    }
    let bytes = fs::read(path).map_err(io_error(attempt, path))?;
    serde_json::from_slice(&bytes).map_err(|error| io_error(attempt, path)(error.into()))
}

/// Disk work has a thread of its own kind.
async fn blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> Result<T, RecordError> + Send + 'static,
) -> Result<T, RecordError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => Err(io_error("write the record", folder)(io::Error::other(
            ended,
        ))),
    }
}

#[cfg(test)]
mod tests;
