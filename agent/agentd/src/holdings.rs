//! Everything that one container holds in the guest, in one bundle with one teardown, for a failed start and for a removal alike.

use std::{io, path::PathBuf};

use container::{
    Folder,
    cgroup::{Cgroup, CgroupError},
};
use thiserror::Error;

use crate::{
    layer::{Layer, LayerError},
    root_fs::{self, RootFsError},
    volumes,
};

/// Folder, mounts, writable layer and cgroup of one container. Dropping it releases nothing.
#[derive(Debug, Clone)]
pub(crate) struct Holdings {
    pub(crate) folder: Folder,
    pub(crate) cgroup: Cgroup,
    /// Where its writable layer lies, from before anything is made there.
    pub(crate) layer: Layer,
}

/// What could not be released; the rest has been.
#[derive(Debug, Error)]
pub(crate) enum ReleaseError {
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    RootFs(#[from] RootFsError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("let go of the container's volumes")]
    Volumes(#[source] io::Error),
    #[error("remove {path}")]
    Folder { path: PathBuf, source: io::Error },
}

impl Holdings {
    /// Kills the processes. Blocks.
    pub(crate) fn kill(&self) -> Result<(), ReleaseError> {
        Ok(self.cgroup.kill()?)
    }

    /// Kills the processes and releases all. Blocks. Idempotent; goes on after an error and returns the first.
    pub(crate) fn release(&self) -> Result<(), ReleaseError> {
        let folder = || {
            self.folder.remove().map_err(|source| {
                let path = self.folder.path().to_owned();
                ReleaseError::Folder { path, source }
            })
        };
        let killed = self.cgroup.kill().map_err(ReleaseError::from);
        let unmounted = root_fs::unmount(&self.folder).map_err(ReleaseError::from);
        let released = volumes::release(&self.folder).map_err(ReleaseError::Volumes);
        let removed = self.cgroup.remove().map_err(ReleaseError::from);
        // While something uses the layer it can't go.
        let emptied = unmounted.and_then(|()| self.layer.remove().map_err(ReleaseError::from));
        killed
            .and(emptied)
            .and(released)
            .and(removed)
            .and_then(|()| folder())
    }
}
