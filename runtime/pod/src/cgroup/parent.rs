//! The name of a cgroup in which pods' cgroups are made, as kubelet and people write it. Main type: [`CgroupParent`]. Pure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name of a file (NAME_MAX).
const MOST_NAME_BYTES: usize = 255;
/// Longest path that is taken; the kernel's own limit is not much more.
const MOST_BYTES: usize = 2048;
const SLICE: &str = ".slice";
/// The slice of all slices (systemd.special(7)).
const ROOT_SLICE: &str = "-";

/// In whose style cgroups are called (kubelet's `cgroupDriver`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// Slices, whose names say where they are (systemd.slice(5)).
    Systemd,
    /// Paths.
    Cgroupfs,
}

/// A cgroup in which pods' cgroups are made: a path below the mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CgroupParent(PathBuf);

/// A name that is no cgroup's.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CgroupParentError {
    /// The other driver's.
    #[error(
        "cgroup parent {name:?} is no slice, which the systemd driver wants: kubelet's cgroupDriver and cgroup.driver of the \
         configuration have to be the same"
    )]
    NoSlice {
        /// The name.
        name: String,
    },
    /// Not one of systemd's.
    #[error(
        "cgroup parent {name:?}: a slice is called like a-b-c.slice, without empty words between the dashes"
    )]
    SliceName {
        /// The name.
        name: String,
    },
    /// Not one of the kernel's.
    #[error("cgroup parent {name:?}: {what}")]
    Path {
        /// The name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl CgroupParent {
    /// Reads a name in this driver's style. A slice may stand at the end of a path, which says nothing more.
    ///
    /// # Errors
    /// When there can be no such cgroup.
    pub fn parse(driver: CgroupDriver, name: &str) -> Result<Self, CgroupParentError> {
        match driver {
            CgroupDriver::Systemd => Self::slice(name),
            CgroupDriver::Cgroupfs => Self::plain(name),
        }
    }

    /// Reads a path below the mount, with a slash at its front or without.
    ///
    /// # Errors
    /// When there can be no such cgroup.
    pub fn plain(name: &str) -> Result<Self, CgroupParentError> {
        let wrong = |what| CgroupParentError::Path {
            name: name.to_owned(),
            what,
        };
        if name.len() > MOST_BYTES {
            return Err(wrong("it is longer than 2048 bytes"));
        }
        let mut path = PathBuf::new();
        for word in name.split('/').filter(|word| !word.is_empty()) {
            if matches!(word, "." | "..") {
                return Err(wrong("it may not contain . or .."));
            }
            if word.len() > MOST_NAME_BYTES || word.contains(['\0', '\n']) {
                return Err(wrong("one of its names is no file name"));
            }
            // The kernel's files in each cgroup begin so.
            if word.starts_with("cgroup.") {
                return Err(wrong("no cgroup's name begins with \"cgroup.\""));
            }
            path.push(word);
        }
        Ok(Self(path))
    }

    /// `a-b.slice` lies in `a.slice` (systemd.slice(5)).
    fn slice(name: &str) -> Result<Self, CgroupParentError> {
        let last = name.trim_end_matches('/').rsplit('/').next();
        let stem = last.and_then(|last| last.strip_suffix(SLICE));
        let stem = stem.ok_or_else(|| CgroupParentError::NoSlice {
            name: name.to_owned(),
        })?;
        if stem == ROOT_SLICE {
            return Ok(Self(PathBuf::new()));
        }
        if stem.split('-').any(str::is_empty) {
            return Err(CgroupParentError::SliceName {
                name: name.to_owned(),
            });
        }
        let ends = stem.match_indices('-').map(|(end, _)| end);
        let stems = ends.chain([stem.len()]).filter_map(|end| stem.get(..end));
        let path: Vec<String> = stems.map(|stem| format!("{stem}{SLICE}")).collect();
        Self::plain(&path.join("/"))
    }

    /// Where it is below the mount.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests;
