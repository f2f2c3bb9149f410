//! Opens a block device of the host, and finds out what it takes. Main function: [`open`]. Above: the task that has it put on a VM's bus.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use model::BlockDevice;
use rustix::fs::{OFlags, SeekFrom, ioctl_blksszget, major, minor, seek};
use thiserror::Error;
use vm_client::{BlockDevicePlan, DiskId, RequestError};

use crate::error::PodError;

/// What the names of all such disks begin with. No container's id does, nor the names of other disks.
pub(super) const NAME: &str = "block-";

/// Where the kernel describes block devices (Documentation/ABI/stable/sysfs-block).
const SYSFS: &str = "/sys/dev/block";

/// Why a device can't be a disk of a VM.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The kernel refused.
    #[error("{attempt}")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Something else, perhaps since it was looked at.
    #[error("it is no block device")]
    Kind,
    /// Nothing to work on: a drive without a medium, a loop device without a file.
    #[error("it has no blocks: nothing is attached to it")]
    Empty,
    /// It does not answer.
    #[error("it did not open within {deadline:?}")]
    Late {
        /// How long it had.
        deadline: Duration,
    },
    /// A function that the VM does not have.
    #[error(
        "the pod's VM was not given the function {function} of the node when it started, and can't be given it now: {why}"
    )]
    NotGiven {
        /// Where it is on the node.
        function: String,
        /// Why it can't have it now.
        why: String,
    },
    /// VFIO's nodes.
    #[error(transparent)]
    Nodes(#[from] Box<PodError>),
    /// The monitor refused, or is gone.
    #[error("add it to the pod's VM")]
    Monitor(#[source] RequestError),
}

/// A device for a VM.
#[derive(Debug)]
pub(super) struct Opened {
    /// The same for every path to the device.
    pub(super) id: DiskId,
    pub(super) plan: BlockDevicePlan,
}

pub(super) async fn open(device: &BlockDevice, deadline: Duration) -> Result<Opened, OpenError> {
    let (path, read_only) = (device.host_path.clone(), device.read_only());
    let work = tokio::task::spawn_blocking(move || open_now(&path, read_only));
    match tokio::time::timeout(deadline, work).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(ended)) => Err(OpenError::Io {
            attempt: "open it",
            source: io::Error::other(ended),
        }),
        Err(_elapsed) => Err(OpenError::Late { deadline }),
    }
}

/// A device that the host itself may not write to is as if it had been asked for so.
fn open_now(path: &Path, read_only: bool) -> Result<Opened, OpenError> {
    let opened = match open_direct(path, read_only) {
        // A medium that is write-protected.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            open_direct(path, true).map(|file| (file, true))
        }
        opened => opened.map(|file| (file, read_only)),
    };
    let (file, read_only) = opened.map_err(|source| OpenError::Io {
        attempt: match read_only {
            true => "open it for reading",
            false => "open it for writing (its permissions have a w)",
        },
        source,
    })?;
    let about = file.metadata().map_err(|source| OpenError::Io {
        attempt: "look at it",
        source,
    })?;
    if !about.file_type().is_block_device() {
        return Err(OpenError::Kind);
    }
    let asked = |errno: rustix::io::Errno| OpenError::Io {
        attempt: "ask for its size and its blocks",
        source: errno.into(),
    };
    let length = seek(&file, SeekFrom::End(0)).map_err(asked)?;
    let block_bytes = ioctl_blksszget(&file).map_err(asked)?;
    if length == 0 {
        return Err(OpenError::Empty);
    }
    let number = about.rdev();
    let (major, minor) = (major(number), minor(number));
    let folder = Path::new(SYSFS).join(format!("{major}:{minor}"));
    let read_only = read_only || is_read_only(&folder);
    let right = if read_only { 'r' } else { 'w' };
    // 20 bytes at most: numbers have 12 and 20 bits.
    let id = DiskId::try_from(format!("{}{right}", name(major, minor)));
    let id = id.map_err(|_bad| OpenError::Kind)?;
    let takes = Takes::read(&queue_folder(&folder));
    let plan = BlockDevicePlan {
        id: id.clone(),
        file,
        length,
        read_only,
        block_bytes,
        discard_bytes: takes.discard_bytes,
        writes_zeroes: takes.writes_zeroes,
    };
    Ok(Opened { id, plan })
}

/// What the names of the disks over one device begin with.
pub(super) fn name(major: u32, minor: u32) -> String {
    format!("{NAME}{major}.{minor}-")
}

/// Past the host's page cache, which would have everything twice and lose it with the host. Where that can't be, through it.
fn open_direct(path: &Path, read_only: bool) -> io::Result<File> {
    let open = |flags: OFlags| {
        OpenOptions::new()
            .read(true)
            .write(!read_only)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
    };
    match open(OFlags::DIRECT) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(OFlags::empty()),
        opened => opened,
    }
}

/// What a device takes beside reads and writes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Takes {
    discard_bytes: u32,
    writes_zeroes: bool,
}

impl Takes {
    /// From its queue's folder. What is not said there it does not take.
    fn read(queue: &Path) -> Self {
        let number = |name: &str| {
            let text = fs::read_to_string(queue.join(name)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let some = |name: &str| number(name).is_some_and(|bytes| bytes > 0);
        let granularity = number("discard_granularity").unwrap_or_default();
        // One that takes discards of any block may say 0.
        let granularity = u32::try_from(granularity).unwrap_or(u32::MAX).max(1);
        Self {
            discard_bytes: if some("discard_max_bytes") {
                granularity
            } else {
                0
            },
            writes_zeroes: some("write_zeroes_max_bytes"),
        }
    }
}

/// Opening such a device for writing succeeds, and each write fails.
fn is_read_only(device: &Path) -> bool {
    fs::read_to_string(device.join("ro")).is_ok_and(|text| text.trim() == "1")
}

/// A partition has its disk's: the folder above.
fn queue_folder(device: &Path) -> PathBuf {
    let own = device.join("queue");
    if own.exists() {
        return own;
    }
    device.join("../queue")
}

#[cfg(test)]
mod tests;
