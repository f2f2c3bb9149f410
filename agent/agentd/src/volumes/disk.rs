//! Volumes that are disks with an XFS of their own. Main type: [`DiskVolumePlan`]. Above: `rpc`. Blocks.

use std::{fs, io, path::Path};

use agent::agent as wire;
use rustix::mount::MountFlags;

use super::{failed, mount, root::VolumeRoot};
use crate::{fault::Fault, sys::quota};

/// `nouuid`: all such disks come from one template, so the file systems have one id. The others as the scratch disk's.
const OPTIONS: &str = "nouuid,prjquota,discard";

/// All of the volume is of this project, whose limit is the volume's.
const PROJECT: u32 = 1;

/// A checked `DiskVolume`.
#[derive(Debug)]
pub(crate) struct DiskVolumePlan {
    root: VolumeRoot,
    /// 0 is no limit.
    limit_bytes: u64,
}

impl DiskVolumePlan {
    pub(crate) fn parse(disk: &wire::DiskVolume) -> Result<Self, Fault> {
        Ok(Self {
            root: VolumeRoot::parse(disk.root.get_or_default())?,
            limit_bytes: disk.limit_bytes,
        })
    }

    /// Mounts the disk at `content`.
    pub(super) fn mount(&self, disk: &Path, content: &Path) -> Result<(), Fault> {
        fs::create_dir(content)
            .and_then(|()| mount::mount_one(disk, content, "xfs", (MountFlags::NODEV, OPTIONS)))
            .map_err(failed(&format!(
                "mount the file system on {}",
                disk.display()
            )))?;
        self.prepare(content)
            .map_err(failed("limit a volume and give it its mode and owner"))
    }

    fn prepare(&self, content: &Path) -> io::Result<()> {
        quota::set_limit(content, PROJECT, self.limit_bytes)?;
        quota::set_project(content, PROJECT)?;
        self.root.give_to(content)
    }
}
