//! The disks that a container has as block devices. Main type: [`DiskPlan`]. Above: `rpc` checks, `start` brings them in. Below: `container::mount_disks`.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use agent::agent as wire;
use container::{DiskNode, UserNamespace};

use crate::{
    deadlines::{DEVICE_DEADLINE, MAX_DISKS},
    destination,
    devices::{self, PciAddress},
    fault::Fault,
};

/// A checked `ContainerDisk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskPlan {
    address: PciAddress,
    path: PathBuf,
    access: String,
    mode: u32,
    owner: (u32, u32),
}

impl DiskPlan {
    pub(crate) fn parse_all(disks: &[wire::ContainerDisk]) -> Result<Vec<Self>, Fault> {
        if disks.len() > MAX_DISKS {
            let count = disks.len();
            let message = format!("{count} disks for a container, the limit is {MAX_DISKS}");
            return Err(Fault::invalid(message));
        }
        disks.iter().map(Self::parse).collect()
    }

    fn parse(disk: &wire::ContainerDisk) -> Result<Self, Fault> {
        let path = destination::parse(&disk.path, "a disk")?;
        let access = &disk.access;
        if access.is_empty() || access.chars().any(|letter| !"rwm".contains(letter)) {
            let message =
                format!("the disk at {path:?} has the access {access:?}; r, w, m are known");
            return Err(Fault::invalid(message));
        }
        Ok(Self {
            address: disk.pci_address.parse()?,
            path,
            access: access.clone(),
            mode: disk.mode,
            owner: (disk.uid, disk.gid),
        })
    }
}

/// Waits for the disks. Their nodes for a container whose pod has this user namespace.
pub(crate) async fn bring_in(
    plans: &[DiskPlan],
    user: Option<&UserNamespace>,
) -> Result<Vec<DiskNode>, Fault> {
    let mut nodes = Vec::with_capacity(plans.len());
    for plan in plans {
        let (address, path) = (plan.address, plan.path.display());
        let named = format!("the device at {address} for {path}");
        let node = devices::add_disk(address, &named, DEVICE_DEADLINE).await?;
        nodes.push(DiskNode {
            node,
            path: plan.path.clone(),
            access: plan.access.clone(),
            mode: plan.mode,
            owner: user.map_or(plan.owner, UserNamespace::root),
        });
    }
    Ok(nodes)
}
