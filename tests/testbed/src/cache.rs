//! The folder for what is worth keeping between runs, and the locks in it.

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;

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

pub(crate) fn open_lock(name: &str) -> Result<File> {
    let path = folder()?.join(name);
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(file_error("open lock", &path))
}
