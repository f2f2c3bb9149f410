//! Numbers of files that are of several devices of the host and of one of the guest's. Main type: [`Numbers`]. Above: `files`.

#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

/// Bits of a number that file systems use: ext4 has 32, XFS 48 on a disk of 256 TiB and some.
const OF_FILE: u32 = 48;

/// Which devices there are, in the order in which they were seen. Files of the first have their own numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers(Mutex<Vec<u64>>);

impl Numbers {
    /// The guest's number of this file. Two files that are both below 2^48 never share one, nor do two of one device.
    pub(super) fn of(&self, device: u64, number: u64) -> u64 {
        let mut devices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = devices.iter().position(|known| *known == device);
        let index = known.unwrap_or_else(|| {
            devices.push(device);
            devices.len().saturating_sub(1)
        });
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        number ^ (index << OF_FILE)
    }
}
