//! A block device of the host as a disk of the guest. Main type: [`BlockDevice`]. Beside it: `launch` has disks that are files.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{DiskId, Fd, Invalid, limits};

/// A block device that the guest works on itself. Always raw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockDevice {
    /// What the guest sees as its serial number; no two disks of a machine share it.
    pub id: DiskId,
    /// The device, open for reading, and for writing too unless it is read-only.
    pub fd: Fd,
    /// Bytes of it, a multiple of `block_bytes` and not 0.
    pub length: u64,
    /// Whether the guest may not write.
    pub read_only: bool,
    /// Bytes of its logical block, a power of two from 512 to 4096.
    pub block_bytes: u32,
    /// It takes discards (BLKDISCARD), best of multiples of this many bytes; 0 is none.
    pub discard_bytes: u32,
    /// It writes zeroes by itself, without being sent them.
    pub writes_zeroes: bool,
}

impl BlockDevice {
    /// Checks the bounds of a device whose request came with `fds` descriptors.
    ///
    /// # Errors
    /// The first thing found that no disk can be.
    pub fn check(&self, fds: usize) -> Result<(), Invalid> {
        let wrong = |rule| {
            Err(Invalid::BlockDevice {
                id: self.id.clone(),
                rule,
            })
        };
        let block_bytes = u64::from(self.block_bytes);
        if !block_bytes.is_power_of_two() || !limits::BLOCK_BYTES.contains(&block_bytes) {
            return wrong("its blocks have 512, 1024, 2048 or 4096 bytes");
        }
        if self.length == 0 || !self.length.is_multiple_of(block_bytes) {
            return wrong("its length is a multiple of its blocks, and not 0");
        }
        if i64::try_from(self.length).is_err() {
            return wrong("its length is below 2^63 bytes");
        }
        match (usize::from(self.fd.0), fds) {
            (0, 1) => Ok(()),
            _ => wrong("it comes with one descriptor"),
        }
    }
}
