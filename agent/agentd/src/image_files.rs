//! An image on a host: files of the image store, each a loop device, mounted together as one EROFS by its device table. Main type: [`ImageFiles`]. Above: `root_fs`
//! and `volumes`. Blocks.
//!
//! The loop devices take themselves apart when the mount goes, however that comes about. While they are there they hold the files open, and
//! with the first the lock that keeps the image from being removed.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use agent::agent as wire;
use rustix::{
    fs::{FlockOperation, OFlags, flock},
    mount::{MountFlags, mount},
};
use thiserror::Error;

use crate::{fault::Fault, sys};

/// An image has at most 256 layers, and its metadata.
const MOST_FILES: usize = 257;

/// The kernel takes the options of a mount in one page.
const MOST_OPTION_BYTES: usize = 4095;

/// Others may take a free loop device before we do; so often they do not.
const ATTEMPTS: u32 = 64;

const CONTROL: &str = "/dev/loop-control";

/// The files of an image, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageFiles(Vec<ImageFile>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct ImageFile {
    path: PathBuf,
    length_bytes: u64,
}

/// An attempt that failed; nothing is left of it.
#[derive(Debug, Error)]
pub(crate) enum ImageFilesError {
    #[error("open the image's file {path}")]
    Open { path: PathBuf, source: io::Error },
    #[error("the image's file {path} has {found} bytes instead of {expected}")]
    Length {
        path: PathBuf,
        found: u64,
        expected: u64,
    },
    #[error("lock the image's file {path}: the image is being removed")]
    Lock { path: PathBuf, source: io::Error },
    #[error("open {CONTROL}: the host needs loop devices (`modprobe loop`)")]
    Control(#[source] io::Error),
    #[error("make a loop device of {path}")]
    Loop { path: PathBuf, source: io::Error },
    #[error(
        "the image has too many layers: their loop devices fill {bytes} bytes of mount options, {MOST_OPTION_BYTES} at most"
    )]
    Options { bytes: usize },
    #[error(
        "mount the image at {path}: the host's kernel needs EROFS with device tables (Linux 5.16, `modprobe erofs`)"
    )]
    Mount { path: PathBuf, source: io::Error },
}

/// A loop device that is open: while it is, it stays.
struct Loop {
    path: PathBuf,
    _device: File,
}

impl ImageFiles {
    pub(crate) fn parse(files: &[wire::ImageFile]) -> Result<Self, Fault> {
        if files.len() > MOST_FILES {
            let count = files.len();
            return Err(Fault::invalid(format!(
                "an image can't have {count} files: {MOST_FILES} at most"
            )));
        }
        let parse = |file: &wire::ImageFile| match file.path.starts_with('/') {
            true => Ok(ImageFile {
                path: file.path.clone().into(),
                length_bytes: file.length_bytes,
            }),
            false => Err(Fault::invalid(format!(
                "the image's file {:?} is not an absolute path",
                file.path
            ))),
        };
        Ok(Self(files.iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Mounts them, read-only.
    pub(crate) fn mount(&self, at: &Path) -> Result<(), ImageFilesError> {
        let loops = self.loops()?;
        let Some((first, others)) = loops.split_first() else {
            return Ok(());
        };
        let devices: Vec<String> = others
            .iter()
            .map(|device| format!("device={}", device.path.display()))
            .collect();
        let options = devices.join(",");
        let bytes = options.len();
        if bytes > MOST_OPTION_BYTES {
            return Err(ImageFilesError::Options { bytes });
        }
        let failed = |source| ImageFilesError::Mount {
            path: at.to_owned(),
            source,
        };
        let options = CString::new(options).map_err(|nul| failed(nul.into()))?;
        let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOATIME;
        mount(&first.path, at, "erofs", flags, Some(&*options))
            .map_err(|errno| failed(errno.into()))
    }

    fn loops(&self) -> Result<Vec<Loop>, ImageFilesError> {
        let control = File::options()
            .read(true)
            .write(true)
            .open(CONTROL)
            .map_err(ImageFilesError::Control)?;
        let mut loops = Vec::with_capacity(self.0.len());
        for (number, image_file) in self.0.iter().enumerate() {
            let file = image_file.open()?;
            if number == 0 {
                lock(&file, &image_file.path)?;
            }
            let path = &image_file.path;
            let made = loop_device(&control, &file, path);
            loops.push(made.map_err(|source| ImageFilesError::Loop {
                path: path.clone(),
                source,
            })?);
        }
        Ok(loops)
    }
}

impl ImageFile {
    fn open(&self) -> Result<File, ImageFilesError> {
        let Self { path, length_bytes } = self;
        let attempt = |source| ImageFilesError::Open {
            path: path.clone(),
            source,
        };
        let no_links = OFlags::NOFOLLOW.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(no_links)
            .open(path)
            .map_err(attempt)?;
        let about = file.metadata().map_err(attempt)?;
        if about.len() != *length_bytes || !about.is_file() {
            return Err(ImageFilesError::Length {
                path: path.clone(),
                found: about.len(),
                expected: *length_bytes,
            });
        }
        Ok(file)
    }
}

/// The loop device keeps the open file, and so the lock (flock(2)).
fn lock(file: &File, path: &Path) -> Result<(), ImageFilesError> {
    flock(file, FlockOperation::NonBlockingLockShared).map_err(|errno| ImageFilesError::Lock {
        path: path.to_owned(),
        source: errno.into(),
    })
}

fn loop_device(control: &File, file: &File, name: &Path) -> io::Result<Loop> {
    let mut attempt = 1;
    loop {
        let number = sys::free_loop_device(control)?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = File::open(&path)?;
        match sys::configure_loop_device(&device, file, name) {
            Ok(()) => {
                return Ok(Loop {
                    path,
                    _device: device,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
