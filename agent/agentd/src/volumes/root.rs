//! How the root folder of a volume looks that the guest has for itself. Main type: [`VolumeRoot`].

use agent::agent as wire;

use crate::fault::Fault;

/// Permission bits.
const MODE: u32 = 0o7777;

/// A checked `VolumeRoot`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VolumeRoot {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
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
}
