//! Volumes that are huge pages of the guest: a hugetlbfs over what its kernel has set aside at boot. Main type: [`HugePagesPlan`]. Above: `rpc`. How many of
//! the pages a container may have is its cgroup's limit. Blocks.

use std::{fs, io, path::Path};

use agent::agent as wire;
use rustix::mount::MountFlags;

use super::{failed, mount, root::VolumeRoot};
use crate::fault::Fault;

/// Where the kernel tells of its pools (Documentation/admin-guide/mm/hugetlbpage.rst).
const POOLS: &str = "/sys/kernel/mm/hugepages";

const KIB: u64 = 1 << 10;

/// A checked `HugePages`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HugePagesPlan {
    page_bytes: u64,
    bytes: u64,
    root: VolumeRoot,
}

impl HugePagesPlan {
    pub(crate) fn parse(pages: &wire::HugePages) -> Result<Self, Fault> {
        let page_bytes = pages.page_bytes;
        if !page_bytes.is_power_of_two() || page_bytes < KIB {
            return Err(Fault::invalid(format!(
                "huge pages can't have {page_bytes} bytes: the size is a power of two"
            )));
        }
        Ok(Self {
            page_bytes,
            bytes: pages.bytes,
            root: VolumeRoot::parse(pages.root.get_or_default())?,
        })
    }

    /// Mounts them at `content`.
    pub(super) fn mount(&self, content: &Path) -> Result<(), Fault> {
        self.check(Path::new(POOLS))?;
        let options = format!("pagesize={}", self.page_bytes);
        let flags = (MountFlags::NODEV, options.as_str());
        fs::create_dir(content)
            .and_then(|()| mount::mount_one("hugetlbfs", content, "hugetlbfs", flags))
            .and_then(|()| self.root.give_to(content))
            .map_err(failed("mount huge pages for a volume"))
    }

    /// The kernel sets aside what it can, and says nothing when that is less.
    fn check(&self, pools: &Path) -> Result<(), Fault> {
        let kib = self.page_bytes / KIB;
        let pool = pools.join(format!("hugepages-{kib}kB/nr_hugepages"));
        let text = match fs::read_to_string(&pool) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Fault::precondition(format!(
                    "the guest has no huge pages of {kib} KiB: its processor can't have them"
                )));
            }
            text => text.map_err(failed("read how many huge pages the guest has"))?,
        };
        let pages: u64 = text.trim().parse().map_err(|_other| {
            Fault::internal_io(
                "read how many huge pages the guest has",
                &io::Error::new(io::ErrorKind::InvalidData, text.clone()),
            )
        })?;
        let has = pages.saturating_mul(self.page_bytes);
        if has < self.bytes {
            let wanted = self.bytes;
            return Err(Fault::precondition(format!(
                "the guest could set {has} bytes of huge pages of {kib} KiB aside, of {wanted}: its VM has too little memory for them"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
