//! A function of the host that a running machine is given. Main type: [`HostFunction`]. Beside it: `launch` has those that a machine has from
//! its start.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{Fd, Invalid, PciAddress};

/// One function, by VFIO's type 1 interface, with a container of its own: it goes without the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFunction {
    /// Where it is on the host. No two of a machine are the same.
    pub host_address: PciAddress,
    /// /dev/vfio/vfio, freshly opened.
    pub container: Fd,
    /// /dev/vfio/GROUP of its IOMMU group, freshly opened.
    pub group: Fd,
}

impl HostFunction {
    /// Checks that its descriptors came, of `fds` that did.
    ///
    /// # Errors
    /// When they did not, or others came too.
    pub fn check(&self, fds: usize) -> Result<(), Invalid> {
        crate::launch::check_fds(&[self.container, self.group], fds)
    }
}
