//! The nodes of iommufd on a host: whether it has it, and a function's own node. Main function: [`cdev`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub(crate) const IOMMUFD: &str = "/dev/iommu";
const CDEVS: &str = "/dev/vfio/devices";
/// Set in test hosts whose kernel is chosen for its iommufd: there it has to be.
pub(crate) const KERNEL_VARIABLE: &str = "COFFERDAM_TEST_KERNEL";

/// Where there is none, that is said.
pub(crate) fn has_iommufd() -> Result<bool> {
    let has = Path::new(IOMMUFD).exists();
    let wanted = std::env::var(KERNEL_VARIABLE).is_ok_and(|kernel| kernel == "iommufd");
    ensure!(has || !wanted, "this kernel was chosen for its {IOMMUFD}");
    if !has {
        eprintln!("SKIPPED: this kernel has no {IOMMUFD}: {KERNEL_VARIABLE}=iommufd chooses one");
    }
    Ok(has)
}

/// Of a function that VFIO has.
pub(crate) fn cdev(address: &str) -> Result<PathBuf> {
    let folder = Path::new("/sys/bus/pci/devices")
        .join(address)
        .join("vfio-dev");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {folder:?}"))?;
    let entry = entries
        .flatten()
        .next()
        .context("VFIO's device has no cdev")?;
    Ok(Path::new(CDEVS).join(entry.file_name()))
}

pub(crate) fn is_cdev(node: &Path) -> bool {
    node.starts_with(CDEVS)
}
