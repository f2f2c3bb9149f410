//! The folder of one container in the agent's state: where each file of it lies, in one place.
//!
//! ```text
//! <state>/<container>/config.json    the specification as libcontainer gets it
//!                     final.json     what the executor applies last, for later execs
//!                     libcontainer/  libcontainer's own state
//!                     console.sock   while a terminal is handed over
//!                     root  image  writable   mount points, agentd's
//!                     mounts/<number>    mount points for paths in volumes, agentd's
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder of one container.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder. The id must be a checked one: it becomes a file name.
    ///
    /// # Errors
    /// When it is there already, or cannot be made.
    pub fn create(state: &Path, container_id: &str) -> io::Result<Self> {
        fs::create_dir_all(state)?;
        let path = state.join(container_id);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn open(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The mount point of the container's root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.path.join("root")
    }

    /// The mount point of the image.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.path.join("image")
    }

    /// The mount point of the memory file system that holds the writable layer.
    #[must_use]
    pub fn writable(&self) -> PathBuf {
        self.path.join("writable")
    }

    /// The folder of mount points for paths in volumes.
    #[must_use]
    pub fn mounts(&self) -> PathBuf {
        self.path.join("mounts")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    pub(crate) fn last_steps(&self) -> PathBuf {
        self.path.join("final.json")
    }

    pub(crate) fn libcontainer(&self) -> PathBuf {
        self.path.join("libcontainer")
    }

    /// A file of one launch; the launcher's pid keeps two execs apart.
    pub(crate) fn of_this_launch(&self, name: &str) -> PathBuf {
        self.path.join(format!("{}-{name}", std::process::id()))
    }

    /// Removes the folder. Does nothing when it is not there.
    ///
    /// The mount points go first and not recursively: where a mount is left, this fails, and nothing behind it is deleted.
    ///
    /// # Errors
    /// When something is still mounted, or a file cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        for mount_point in [self.root(), self.writable(), self.image()] {
            gone(fs::remove_dir(mount_point))?;
        }
        remove_mount_points(&self.mounts())?;
        gone(fs::remove_dir_all(&self.path))
    }
}

fn remove_mount_points(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => gone(fs::remove_dir(entry.path()))?,
            false => gone(fs::remove_file(entry.path()))?,
        }
    }
    Ok(())
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
