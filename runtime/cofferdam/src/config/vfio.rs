//! `[vfio]`, checked. Main type: [`Vfio`].

use std::path::PathBuf;

use cri_server::{VfioDevices, VfioSettings};
use devices::{BadAddress, PciAddress};
use serde::Deserialize;

/// Each function that VFIO has.
const ALL: &str = "*";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vfio {
    devices: Devices,
    resources: Vec<String>,
    annotation: bool,
    kubelet_socket: PathBuf,
    hot_plug: u8,
}

/// `vfio.devices`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Devices(VfioDevices);

impl TryFrom<Vec<String>> for Devices {
    type Error = BadAddress;

    fn try_from(names: Vec<String>) -> Result<Self, BadAddress> {
        if names.iter().any(|name| name == ALL) {
            return Ok(Self(VfioDevices::All));
        }
        let listed = names.iter().map(|name| name.parse::<PciAddress>());
        let listed = listed.collect::<Result<_, _>>()?;
        Ok(Self(VfioDevices::Listed(listed)))
    }
}

impl Vfio {
    pub(crate) fn settings(&self) -> VfioSettings {
        VfioSettings {
            devices: self.devices.0.clone(),
            resources: self.resources.clone(),
            annotation: self.annotation,
            kubelet_socket: self.kubelet_socket.clone(),
            hot_plug: self.hot_plug,
        }
    }
}
