//! The disk of a function of the host: one that the VM has since its start, or is given now. Above: the task of the pod's block devices. Below:
//! `home`, which opens VFIO's nodes, and `vm-client`.

use std::collections::{BTreeMap, BTreeSet};

use model::{BlockDevice, ContainerId};
use vm_client::{PciAddress, Status};

use super::{Disk, Keeper, Key, Users, open::OpenError};
use crate::home;

impl Keeper {
    /// Where the VM has the function. One that it has since its start stays; another goes with the last container that has it.
    pub(super) async fn function(
        &mut self,
        container: &ContainerId,
        device: &BlockDevice,
        address: &str,
    ) -> Result<PciAddress, OpenError> {
        let status = self.parts.monitor.status().await;
        let status = status.map_err(OpenError::Monitor)?;
        let mut given = status.vfio.iter();
        if let Some((host, guest)) = given.find(|(host, _)| host.to_string() == address) {
            if let Some(disk) = self.disks.get_mut(&Key::Function(*host)) {
                disk.users.insert(container.clone());
            }
            return Ok(*guest);
        }
        let refused = |why: &str| OpenError::NotGiven {
            function: address.to_owned(),
            why: why.to_owned(),
        };
        let group = match &device.hot_plug {
            Some(Ok(group)) => *group,
            Some(Err(why)) => return Err(refused(why)),
            None => return Err(refused("nobody looked whether it may be")),
        };
        let plan = home::open_function(address, group).map_err(Box::new)?;
        let host = plan.host_address;
        let place = match self.parts.monitor.add_function(plan).await {
            Ok(place) => place,
            Err(error) => {
                // An answer that was lost may have been a yes: then it is there, and goes.
                self.look(BTreeMap::new()).await;
                return Err(OpenError::Monitor(error));
            }
        };
        let disk = Disk {
            address: place,
            users: BTreeSet::from([container.clone()]),
        };
        self.disks.insert(Key::Function(host), disk);
        Ok(place)
    }
}

/// Those functions that a VM was given while it ran.
pub(super) fn found(status: &Status, users: &mut Users) -> BTreeMap<Key, Disk> {
    let given = status.vfio.iter();
    let later = given.filter(|(host, _)| status.later_functions.contains(host));
    let disk = |(host, guest): (&PciAddress, &PciAddress)| {
        let disk = Disk {
            address: *guest,
            users: users.remove(guest).unwrap_or_default(),
        };
        (Key::Function(*host), disk)
    };
    later.map(disk).collect()
}
