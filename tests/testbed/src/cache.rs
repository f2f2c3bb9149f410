//! The folder for what is worth keeping between runs, and the locks in it: among them the places of test hosts.

use std::fs::{self, File, TryLockError};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use crate::{Result, file_error};

/// `$COFFERDAM_CACHE`, or else `${XDG_CACHE_HOME:-~/.cache}/cofferdam`, as kernel-config/build has it; made if missing.
pub(crate) fn folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match (variable("COFFERDAM_CACHE"), variable("XDG_CACHE_HOME")) {
        (Some(cofferdam), _) => PathBuf::from(cofferdam),
        (None, Some(xdg)) => PathBuf::from(xdg).join("cofferdam"),
        (None, None) => PathBuf::from(variable("HOME").unwrap_or_else(|| "/root".into()))
            .join(".cache/cofferdam"),
    };
    let folder = folder.join("testbed");
    fs::create_dir_all(&folder).map_err(file_error("create", &folder))?;
    Ok(folder)
}

/// Takes the lock `name`, waiting for its holder, which is said. Dropping the file, or dying, lets it go.
pub(crate) fn lock(name: &str, waiting: &str) -> Result<File> {
    let file = open_lock(name)?;
    let path = folder()?.join(name);
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("testbed: {waiting}"),
        Err(TryLockError::Error(error)) => return Err(file_error("lock", &path)(error)),
    }
    file.lock().map_err(file_error("lock", &path))?;
    Ok(file)
}

/// How many test hosts may run at once: `COFFERDAM_TEST_HOSTS`, or as many as there are processors.
pub fn places() -> usize {
    /// A test host takes 4 GiB.
    const MOST: usize = 8;
    let said = std::env::var("COFFERDAM_TEST_HOSTS").ok();
    let said = said.and_then(|number| number.parse().ok());
    let processors = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    said.unwrap_or_else(processors).clamp(1, MOST)
}

/// A test host's place on this machine. Dropping it, or dying, gives it up.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) number: usize,
    _lock: File,
}

/// Takes a place; where all are taken, waits for the first, which is said.
pub(crate) fn take_place() -> Result<Place> {
    for number in 0..places() {
        let lock = open_lock(&name(number))?;
        match lock.try_lock() {
            Ok(()) => {
                return Ok(Place {
                    number,
                    _lock: lock,
                });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(file_error("lock", name(number))(error)),
        }
    }
    let waiting = "as many test hosts run on this machine as it has places for: waiting for one";
    Ok(Place {
        number: 0,
        _lock: lock(&name(0), waiting)?,
    })
}

fn name(place: usize) -> String {
    match place {
        0 => "host.lock".to_owned(),
        number => format!("host-{number}.lock"),
    }
}

fn open_lock(name: &str) -> Result<File> {
    let path = folder()?.join(name);
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(file_error("open lock", &path))
}
