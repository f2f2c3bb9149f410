//! What is on disk about each attached pod, so that a later process can undo what this one did: the plugins' configuration as it was,
//! their results, the arguments. Main types: [`Record`], [`Records`]. A record is written before the first plugin runs, replaced as a
//! whole, and removed last.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model::PodId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::cni::ConfList;

const VERSION: u32 = 1;
const SUFFIX: &str = "json";
const YOUNG: &str = "tmp";

/// A pod's networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) pod: PodId,
    /// `CNI_ARGS`.
    pub(crate) args: String,
    /// In the order in which they are joined.
    pub(crate) networks: Vec<Joined>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Joined {
    pub(crate) interface: String,
    pub(crate) list: ConfList,
    pub(crate) capabilities: Map<String, Value>,
    /// Of the ADD, once it has succeeded.
    pub(crate) result: Option<Value>,
}

impl Record {
    pub(crate) fn new(pod: PodId, args: String, networks: Vec<Joined>) -> Self {
        Self {
            version: VERSION,
            pod,
            args,
            networks,
        }
    }
}

/// A record that could not be written, read or removed.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The kernel refused.
    #[error("{attempt} {}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// It is not as it was written.
    #[error("understand {}: undo what the CNI plugins did for the pod by hand, then remove the file", path.display())]
    Content {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A later version of this program wrote it.
    #[error("{} has version {version}, which this program doesn't know: start the one that wrote it", path.display())]
    Version {
        /// Its path.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
}

fn io_error(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    move |source| RecordError::Io {
        attempt,
        path,
        source,
    }
}

/// The folder of all records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    folder: PathBuf,
}

impl Records {
    /// Makes the folder, and removes what a crash left of a write.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, RecordError> {
        let folder = state_dir.join("attachments");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(io_error("make the folder", &folder))?;
        let records = Self { folder };
        for (path, _) in records.files(YOUNG)? {
            fs::remove_file(&path).map_err(io_error("remove the unfinished record", &path))?;
        }
        Ok(records)
    }

    /// Writes the record, in the place of the one before. After a crash there is the one or the other.
    pub(crate) fn write(&self, record: &Record) -> Result<(), RecordError> {
        let (path, young) = (
            self.path(&record.pod, SUFFIX),
            self.path(&record.pod, YOUNG),
        );
        let failed = "write the record";
        let text =
            serde_json::to_vec(record).map_err(|error| io_error(failed, &path)(error.into()))?;
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&young)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&young, &path)?;
            self.sync()
        };
        let written = write();
        if written.is_err() {
            // A full disk needs its bytes back; what can't be removed goes when the folder is opened.
            fs::remove_file(&young).ok();
        }
        written.map_err(io_error(failed, &path))
    }

    /// None for a pod that has none.
    pub(crate) fn read(&self, pod: &PodId) -> Result<Option<Record>, RecordError> {
        /// Read first: a later version may have another form.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let path = self.path(pod, SUFFIX);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(io_error("read the record", &path))?,
        };
        let content = |source| RecordError::Content {
            path: path.clone(),
            source,
        };
        let Versioned { version } = serde_json::from_slice(&text).map_err(content)?;
        if version != VERSION {
            return Err(RecordError::Version {
                path: path.clone(),
                version,
            });
        }
        serde_json::from_slice(&text).map(Some).map_err(content)
    }

    /// Removes it, if it is there.
    pub(crate) fn remove(&self, pod: &PodId) -> Result<(), RecordError> {
        let path = self.path(pod, SUFFIX);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed
                .and_then(|()| self.sync())
                .map_err(io_error("remove the record", &path)),
        }
    }

    /// The pods that have one.
    pub(crate) fn list(&self) -> Result<Vec<PodId>, RecordError> {
        let mut pods: Vec<PodId> = self
            .files(SUFFIX)?
            .into_iter()
            .map(|(_, pod)| pod)
            .collect();
        pods.sort();
        Ok(pods)
    }

    fn path(&self, pod: &PodId, suffix: &str) -> PathBuf {
        self.folder.join(format!("{pod}.{suffix}"))
    }

    fn files(&self, suffix: &str) -> Result<Vec<(PathBuf, PodId)>, RecordError> {
        let failed = "read the folder";
        let entries = fs::read_dir(&self.folder).map_err(io_error(failed, &self.folder))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_error(failed, &self.folder))?.path();
            let matches = path.extension().is_some_and(|end| end == suffix);
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if let Some(Ok(pod)) = stem.filter(|_| matches).map(str::parse) {
                files.push((path, pod));
            }
        }
        Ok(files)
    }

    /// A name is on disk when its folder is (fsync(2)).
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests;
