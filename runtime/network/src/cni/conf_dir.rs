//! The folder of network configurations, read anew at each use: it costs microseconds, and an installer that replaces its file has
//! to tell nobody. Main function: [`read`]. The first valid files count, in the order of their names, as containerd has it.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use model::chain;
use thiserror::Error;

use super::{
    ConfList,
    conf_list::{ConfListError, Form},
};

/// Longest file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most files that are looked at.
const MAX_FILES: usize = 256;

/// What a configuration folder came to.
#[derive(Debug)]
pub(crate) struct Found {
    /// At least one.
    pub(crate) networks: Vec<ConfList>,
    /// Files before the last one used that could not be.
    pub(crate) skipped: Vec<Skipped>,
}

/// A file that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// There is no network to join.
#[derive(Debug, Error)]
pub enum ConfDirError {
    /// The folder can't be read.
    #[error("read the CNI configuration folder {}", folder.display())]
    Folder {
        /// Its path.
        folder: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It holds no valid file.
    #[error("no CNI network is configured: {} holds no valid *.conflist, *.conf or *.json{}", folder.display(), list(skipped))]
    Nothing {
        /// Its path.
        folder: PathBuf,
        /// What was tried.
        skipped: Vec<Skipped>,
    },
}

fn list(skipped: &[Skipped]) -> String {
    let each = skipped.iter();
    each.map(|one| format!("; {}: {}", one.file, one.reason))
        .collect()
}

/// Why one file was left out.
#[derive(Debug, Error)]
enum FileError {
    #[error("open it")]
    Open(#[source] io::Error),
    #[error("it is no regular file")]
    NoFile,
    #[error("it is longer than {MAX_FILE_BYTES} bytes")]
    Long,
    #[error("use it")]
    Content(#[from] ConfListError),
}

/// The first `most` networks.
pub(crate) fn read(folder: &Path, most: usize) -> Result<Found, ConfDirError> {
    let files = files(folder).map_err(|source| ConfDirError::Folder {
        folder: folder.to_owned(),
        source,
    })?;
    let mut found = Found {
        networks: Vec::new(),
        skipped: Vec::new(),
    };
    for (name, form) in files {
        if found.networks.len() >= most {
            break;
        }
        match read_file(&folder.join(&name), form) {
            Ok(network) => found.networks.push(network),
            Err(error) => found.skipped.push(Skipped {
                file: name.escape_debug().to_string(),
                reason: chain(&error),
            }),
        }
    }
    if found.networks.is_empty() {
        return Err(ConfDirError::Nothing {
            folder: folder.to_owned(),
            skipped: found.skipped,
        });
    }
    Ok(found)
}

fn files(folder: &Path) -> io::Result<Vec<(String, Form)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_FILES) {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        match Path::new(&name).extension().and_then(|end| end.to_str()) {
            Some("conflist") => files.push((name, Form::List)),
            Some("conf" | "json") => files.push((name, Form::Single)),
            _ => {}
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

fn read_file(path: &Path, form: Form) -> Result<ConfList, FileError> {
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(FileError::Open)?.is_file() {
        return Err(FileError::NoFile);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(FileError::Open)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(FileError::Long);
    }
    Ok(ConfList::parse(&bytes, form)?)
}

#[cfg(test)]
mod tests;
