//! How the root folder of a volume looks that the guest has for itself. Main type: [`VolumeRoot`].

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use agent::agent as wire;

use crate::fault::Fault;

/// Permission bits.
const MODE: u32 = 0o7777;

/// A checked `VolumeRoot`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VolumeRoot {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl VolumeRoot {
    pub(crate) fn parse(root: &wire::VolumeRoot) -> Result<Self, Fault> {
        let mode = root.mode;
        if mode & !MODE != 0 {
            let message = format!("a volume can't have the mode {mode:o}");
            return Err(Fault::invalid(message));
        }
        Ok(Self {
            mode,
            uid: root.uid,
            gid: root.gid,
        })
    }

    /// Makes a folder look so: an option of its mount would be without the set-group-ID bit (hugetlbfs).
    pub(super) fn give_to(&self, folder: &Path) -> io::Result<()> {
        chown(folder, Some(self.uid), Some(self.gid))?;
        // After the owner, whose change takes set-ID bits away.
        fs::set_permissions(folder, fs::Permissions::from_mode(self.mode))
    }
}
