//! The pod's scratch disk on its host: one sparse file that holds the writable layers of all its containers, copied from a template with
//! an empty file system, so that no mkfs is on the path of a start. Its blocks are what the layers take: what is deleted in the guest
//! is a hole here again. Main types: [`ScratchPlan`], [`Scratch`]; `template` reads the template.

mod template;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model::PodId;
use serde::Serialize;
use thiserror::Error;

pub use template::TemplateError;
pub(crate) use template::copy as copy_template;

/// Where scratch disks are, and what they are made from.
#[derive(Debug, Clone, Serialize)]
pub struct ScratchPlan {
    /// Folder of all scratch disks, on a file system with holes.
    pub folder: PathBuf,
    /// The template.
    pub template: PathBuf,
}

/// A scratch disk could not be made, or stays.
#[derive(Debug, Error)]
pub enum ScratchError {
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
    /// The template can't be used.
    #[error("make a scratch disk from the template {} (scratch_template in the configuration)", path.display())]
    Template {
        /// The template.
        path: PathBuf,
        /// Why.
        #[source]
        source: TemplateError,
    },
}

/// The scratch disk of one pod, made or not.
#[derive(Debug, Clone)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn planned(plan: &ScratchPlan, pod: &PodId) -> Self {
        Self(plan.folder.join(pod.as_str()))
    }

    /// As a record has it.
    pub(crate) fn recorded(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it. Gives it open, and its size in bytes.
    pub(crate) async fn make(&self, plan: &ScratchPlan) -> Result<(File, u64), ScratchError> {
        let (scratch, plan) = (self.clone(), plan.clone());
        let made = tokio::task::spawn_blocking(move || scratch.make_now(&plan)).await;
        made.unwrap_or_else(|ended| {
            Err(ScratchError::Io {
                attempt: "make the scratch disk",
                path: self.0.clone(),
                source: io::Error::other(ended),
            })
        })
    }

    fn make_now(&self, plan: &ScratchPlan) -> Result<(File, u64), ScratchError> {
        let failed = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| ScratchError::Io {
                attempt,
                path,
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&plan.folder)
            .map_err(failed("make the folder of scratch disks", &plan.folder))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.0)
            .map_err(failed("make the scratch disk", &self.0))?;
        let size = template::copy(&plan.template, &file);
        let size = size.map_err(|source| ScratchError::Template {
            path: plan.template.clone(),
            source,
        })?;
        Ok((file, size))
    }

    /// Removes it. One that is not there is no error.
    pub(crate) fn remove(&self) -> Result<(), ScratchError> {
        match fs::remove_file(&self.0) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ScratchError::Io {
                attempt: "remove the scratch disk",
                path: self.0.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

/// Bytes and files that the scratch disks in a folder take on its file system. A disk that goes meanwhile takes none.
///
/// # Errors
/// When the folder can't be read; one that is not there holds none.
pub fn scratch_usage(folder: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    /// What stat(2) counts.
    const BLOCK_BYTES: u64 = 512;
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        entries => entries?,
    };
    let (mut bytes, mut files) = (0_u64, 0);
    for entry in entries {
        if let Ok(about) = entry?.metadata() {
            bytes = bytes.saturating_add(about.blocks().saturating_mul(BLOCK_BYTES));
            files += 1;
        }
    }
    Ok((bytes, files))
}

#[cfg(test)]
mod tests;
