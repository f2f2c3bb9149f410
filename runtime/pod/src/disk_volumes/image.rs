//! The image in a folder of the host: found, or made from the template, and opened for one VM. Main function: [`open`]. Blocks.
//!
//! What is found there may have been made by a container that had the folder itself before: nothing of it is believed, no link is followed.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, openat},
    io::Errno,
};
use thiserror::Error;
use vm_client::RequestError;

use crate::scratch::{TemplateError, copy_template};

/// The image's name in the folder.
const NAME: &str = "cofferdam.disk";

/// While it is made; one that a daemon left that died is made anew.
const UNFINISHED: &str = "cofferdam.disk.new";

/// What a disk's length is a multiple of.
const SECTOR_BYTES: u64 = 512;

/// A folder that can't be a disk of a VM.
#[derive(Debug, Error)]
pub enum ImageError {
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
    /// The template can't be used, or its copy not be written.
    #[error("make it from the template {} (scratch_template in the configuration)", path.display())]
    Template {
        /// The template.
        path: PathBuf,
        /// Why.
        #[source]
        source: TemplateError,
    },
    /// Something else has its name.
    #[error("{} is no disk: it is a file with one name and whole sectors, or it is not used", path.display())]
    Kind {
        /// The image.
        path: PathBuf,
    },
    /// Two guests would destroy its file system.
    #[error("{} is the disk of a VM that runs", path.display())]
    InUse {
        /// The image.
        path: PathBuf,
    },
    /// The monitor refused, or is gone.
    #[error("add it to the pod's VM")]
    Monitor(#[source] RequestError),
}

/// Opens the folder's image, which is made when there is none. It is locked as long as somebody has it open. Gives its length, too.
pub(super) fn open(folder: &Path, template: &Path) -> Result<(File, u64), ImageError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::empty());
    let at = opened.map_err(failed("open the folder", folder))?;
    let path = folder.join(NAME);
    let file = match open_at(&at, NAME, OFlags::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => make((folder, &at), template)?,
        // A link (open(2): O_NOFOLLOW).
        Err(Errno::LOOP) => return Err(ImageError::Kind { path }),
        Err(errno) => return Err(failed("open", &path)(errno)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(ImageError::InUse { path }),
        Err(errno) => return Err(failed("lock", &path)(errno)),
    }
    let about = file
        .metadata()
        .map_err(|error| io_failed("look at", &path, error))?;
    let length = about.len();
    let whole = length > 0 && length % SECTOR_BYTES == 0;
    // With a second name it may be a file of another folder's.
    if !about.is_file() || about.nlink() != 1 || !whole {
        return Err(ImageError::Kind { path });
    }
    Ok((file, length))
}

/// It has its name when it is whole.
fn make(
    (folder, at): (&Path, &impl std::os::fd::AsFd),
    template: &Path,
) -> Result<File, ImageError> {
    let (path, unfinished) = (folder.join(NAME), folder.join(UNFINISHED));
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_failed("remove", &unfinished, error));
        }
        _ => {}
    }
    let file = open_at(at, UNFINISHED, OFlags::CREATE | OFlags::EXCL);
    let file = file.map_err(failed("make", &unfinished))?;
    let copied = copy_template(template, &file).map_err(|source| ImageError::Template {
        path: template.to_owned(),
        source,
    });
    let made = copied.and_then(|_size| {
        fs::rename(&unfinished, &path).map_err(|error| io_failed("give its name to", &path, error))
    });
    if made.is_err() {
        // The first error is the one to report.
        drop(fs::remove_file(&unfinished));
    }
    made.map(|()| file)
}

fn open_at(at: &impl std::os::fd::AsFd, name: &str, more: OFlags) -> Result<File, Errno> {
    // NONBLOCK: a pipe has no other end.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
    openat(at, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(Errno) -> ImageError {
    let path = path.to_owned();
    move |errno| io_failed(attempt, &path, errno.into())
}

fn io_failed(attempt: &'static str, path: &Path, source: io::Error) -> ImageError {
    ImageError::Io {
        attempt,
        path: path.to_owned(),
        source,
    }
}
