//! The nodes below /dev/vfio, and the functions that each stands for. Main type: [`VfioNode`]. Above: `find`. Below: `sysfs`.

use std::path::{Path, PathBuf};

use crate::{
    address::PciAddress,
    cdi::DeviceNode,
    sysfs::{Host, Member, SysfsError},
};

pub(super) const GROUPS: &str = "/dev/vfio";
pub(super) const CDEVS: &str = "/dev/vfio/devices";

/// A node of VFIO's that stands for devices. /dev/vfio/vfio, the container of type 1, stands for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum VfioNode {
    /// /dev/vfio/N: all functions of an IOMMU group.
    Group(u32),
    /// /dev/vfio/devices/vfioN: one function, by this name.
    Cdev(String),
}

/// A node that leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    #[error(
        "there is neither a VFIO device vfio{number} nor an IOMMU group {number} that VFIO has on this host: bind the device to vfio-pci, then \
         restart its device plugin"
    )]
    NoSuch { number: u32 },
    #[error("there are only bridges in IOMMU group {group}, and a bridge can't be given to a VM")]
    OnlyBridges { group: u32 },
    #[error(
        "{} says {said_major}:{said_minor} for {node}, but it has {major}:{minor}: the file is out of date, restart the device plugin that wrote it",
        file.display()
    )]
    Stale {
        file: PathBuf,
        node: String,
        said_major: u32,
        said_minor: u32,
        major: u32,
        minor: u32,
    },
}

impl VfioNode {
    /// The node of a path on the host; none where it is another device.
    pub(super) fn of(path: &str) -> Option<Self> {
        if let Some(name) = path.strip_prefix(CDEVS) {
            let name = name.strip_prefix('/')?;
            number(name.strip_prefix("vfio")?)?;
            return Some(Self::Cdev(name.to_owned()));
        }
        let name = path.strip_prefix(GROUPS)?.strip_prefix('/')?;
        Some(Self::Group(number(name)?))
    }

    /// The functions that it stands for: of a group all but the bridges, which stay with the host.
    pub(super) fn functions(&self, host: &Host) -> Result<Vec<PciAddress>, NodeError> {
        match self {
            Self::Cdev(name) => Ok(vec![host.of_cdev(name)?]),
            Self::Group(group) => {
                let members = host.group(*group)?.members;
                let functions: Vec<_> = members
                    .iter()
                    .filter(|member| !member.is_bridge())
                    .map(|member| member.address)
                    .collect();
                if functions.is_empty() {
                    return Err(NodeError::OnlyBridges { group: *group });
                }
                Ok(functions)
            }
        }
    }

    /// A CDI file outlives what it speaks of: the numbers in it, if there are any, must be those of the host.
    pub(super) fn check_numbers(
        &self,
        host: &Host,
        entry: &DeviceNode,
        file: &Path,
    ) -> Result<(), NodeError> {
        let (Self::Cdev(name), Some(said_major), Some(said_minor)) =
            (self, entry.major, entry.minor)
        else {
            return Ok(());
        };
        // First, that there is one: its numbers would be missing with a worse text.
        host.of_cdev(name)?;
        let (major, minor) = host.cdev_numbers(name)?;
        if (said_major, said_minor) == (major, minor) {
            return Ok(());
        }
        Err(NodeError::Stale {
            file: file.to_owned(),
            node: entry.on_host().to_owned(),
            said_major,
            said_minor,
            major,
            minor,
        })
    }
}

/// The functions that the number of a group can mean: VFIO has one of them, for only such a group has a node.
pub(super) fn vfio_group(host: &Host, number: u32) -> Result<Option<Vec<PciAddress>>, SysfsError> {
    let members = match host.group(number) {
        Err(SysfsError::NoGroup { .. }) => return Ok(None),
        group => group?.members,
    };
    let functions = members.iter().filter(|member| !member.is_bridge());
    if !functions.clone().any(Member::is_on_vfio) {
        return Ok(None);
    }
    Ok(Some(functions.map(|member| member.address).collect()))
}

/// A decimal number as VFIO writes it: no sign, no zero before others.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

pub(super) fn list(addresses: &[PciAddress]) -> String {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}
