//! Reads a folder or a file of the host to copy it into a guest: whole, bounded, no link followed. Main functions: [`tree`], [`copy`]; [`look`] only looks.
//!
//! Of a folder with `..data`, which the kubelet replaces by renaming, one version is read: when `..data` has moved meanwhile, it is read again.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use agent_client::{MOST_TREE_BYTES, MOST_TREE_ENTRIES, TreeEntry, TreeKind, VolumeRoot};
use rustix::fs::{Mode, OFlags};
use thiserror::Error;

use super::FILE;
use crate::error::PodError;

const DATA: &str = "..data";

/// Permission bits.
const MODE: u32 = 0o7777;

/// A folder that changes each time that it is read is given up after so many.
const TRIES: u32 = 8;

/// Something of the host that can't be copied.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is {what}, which can't be copied into a VM", path.display())]
    Kind { path: PathBuf, what: &'static str },
    #[error("{} has a name that is not UTF-8", path.display())]
    Name { path: PathBuf },
    #[error(
        "{} is too large to be copied into a VM: the limits are {MOST_TREE_ENTRIES} files and {MOST_TREE_BYTES} bytes", path.display()
    )]
    Size { path: PathBuf },
    #[error("{} changed each time that it was read", path.display())]
    Restless { path: PathBuf },
}

/// A folder, with what is in it.
pub(super) async fn tree(path: PathBuf) -> Result<Vec<TreeEntry>, PodError> {
    blocking(move || tree_now(&path)).await
}

/// A file or a folder as it is now, and what of its tree it is.
pub(super) async fn copy(path: PathBuf) -> Result<(Vec<TreeEntry>, &'static str), PodError> {
    blocking(move || {
        let about = fs::metadata(&path).map_err(failed(&path))?;
        if about.is_dir() {
            return Ok((tree_now(&path)?, ""));
        }
        let folder = TreeEntry {
            path: String::new(),
            uid: 0,
            gid: 0,
            kind: TreeKind::Folder { mode: 0o755 },
        };
        let mut budget = Budget::new(&path);
        let file = budget.entry(&path, FILE.to_owned())?;
        Ok((vec![folder, file], FILE))
    })
    .await
}

/// How a folder looks, for one like it in the guest.
pub(super) async fn look(path: PathBuf) -> Result<VolumeRoot, PodError> {
    blocking(move || {
        let about = fs::metadata(&path).map_err(failed(&path))?;
        Ok(VolumeRoot {
            mode: about.mode() & MODE,
            uid: about.uid(),
            gid: about.gid(),
        })
    })
    .await
}

/// Where `..data` leads to, if the folder has one.
pub(super) fn data(folder: &Path) -> io::Result<Option<OsString>> {
    match fs::read_link(folder.join(DATA)) {
        Ok(target) => Ok(Some(target.into_os_string())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn tree_now(path: &Path) -> Result<Vec<TreeEntry>, ReadError> {
    for _try in 0..TRIES {
        let before = data(path).map_err(failed(path))?;
        let read = read_once(path, before.as_deref());
        if data(path).map_err(failed(path))? == before {
            match read {
                // Between two names of the kubelet's cleaning up.
                Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                read => return read,
            }
        }
    }
    let gone = fs::metadata(path).err();
    Err(gone.map_or_else(
        || ReadError::Restless {
            path: path.to_owned(),
        },
        failed(path),
    ))
}

/// Names that begin with two dots are the kubelet's: only `..data` and where it leads to are of the present version.
fn read_once(path: &Path, version: Option<&OsStr>) -> Result<Vec<TreeEntry>, ReadError> {
    let mut budget = Budget::new(path);
    let mut all = vec![budget.entry(path, String::new())?];
    let mut folders = vec![(path.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for found in fs::read_dir(&folder).map_err(failed(&folder))? {
            let found = found.map_err(failed(&folder))?;
            let name = found.file_name();
            let others = name.as_bytes().starts_with(b"..")
                && name != DATA
                && Some(name.as_os_str()) != version;
            if prefix.is_empty() && version.is_some() && others {
                continue;
            }
            let path = found.path();
            let Some(name) = name.to_str() else {
                return Err(ReadError::Name { path });
            };
            let below = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            let entry = budget.entry(&path, below.clone())?;
            if matches!(entry.kind, TreeKind::Folder { .. }) {
                folders.push((path, below));
            }
            all.push(entry);
        }
    }
    Ok(all)
}

/// How much more may be read.
struct Budget<'a> {
    root: &'a Path,
    entries: usize,
    bytes: u64,
}

impl<'a> Budget<'a> {
    fn new(root: &'a Path) -> Self {
        Self {
            root,
            entries: MOST_TREE_ENTRIES,
            bytes: MOST_TREE_BYTES,
        }
    }

    fn entry(&mut self, path: &Path, name: String) -> Result<TreeEntry, ReadError> {
        let large = || ReadError::Size {
            path: self.root.to_owned(),
        };
        self.entries = self.entries.checked_sub(1).ok_or_else(large)?;
        let about = fs::symlink_metadata(path).map_err(failed(path))?;
        let mode = about.mode() & MODE;
        let kind = if about.is_dir() {
            TreeKind::Folder { mode }
        } else if about.is_symlink() {
            let target = fs::read_link(path).map_err(failed(path))?;
            let target = target.into_os_string().into_string();
            let path = path.to_owned();
            let target = target.map_err(|_bytes| ReadError::Name { path })?;
            TreeKind::Link { target }
        } else if about.is_file() {
            let content = self.content(path)?;
            TreeKind::File { mode, content }
        } else {
            return Err(ReadError::Kind {
                path: path.to_owned(),
                what: what(&about),
            });
        };
        Ok(TreeEntry {
            path: name,
            uid: about.uid(),
            gid: about.gid(),
            kind,
        })
    }

    fn content(&mut self, path: &Path) -> Result<Vec<u8>, ReadError> {
        // NONBLOCK: what was a file a moment ago may be a fifo now.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let file = File::from(opened.map_err(|errno| failed(path)(errno.into()))?);
        let mut content = Vec::new();
        file.take(self.bytes + 1)
            .read_to_end(&mut content)
            .map_err(failed(path))?;
        let left = self.bytes.checked_sub(content.len() as u64);
        self.bytes = left.ok_or_else(|| ReadError::Size {
            path: self.root.to_owned(),
        })?;
        Ok(content)
    }
}

fn what(about: &Metadata) -> &'static str {
    let kind = about.file_type();
    if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a named pipe"
    } else {
        "a device"
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    move |source| ReadError::Io { path, source }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, PodError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| PodError::Volume(error.into())),
        Err(_ended) => Err(PodError::TornDown),
    }
}
