//! The devices that a container asks for: those of the guest, and block devices of the host, which the kubelet gives for `volumeDevices`. Main
//! function: [`devices`]. `pod` checks what is said of each.

use cri::v1::{ContainerConfig, Device as CriDevice};
use model::{BlockDevice, Device};

use super::{pod_kind::PodKind, refusal::Refusal};
use crate::host_devices::{HostDevice, HostFunction};

/// Of the node of a function's disk: as udev has disks.
const NODE_MODE: u32 = 0o660;

/// A container's devices, told apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Devices {
    /// Those that every guest has.
    pub(crate) of_guest: Vec<Device>,
    /// Those that a guest is given.
    pub(crate) block: Vec<BlockDevice>,
}

/// Tells them apart. `found` is what the host has at the path of each, in order.
pub(crate) fn devices(
    config: &ContainerConfig,
    found: Vec<HostDevice>,
    kind: PodKind,
) -> Result<Devices, Refusal> {
    let mut devices = Devices::default();
    for (asked, found) in config.devices.iter().zip(found) {
        match (kind, found) {
            (
                PodKind::Vm,
                HostDevice::Block {
                    path,
                    mode,
                    uid,
                    gid,
                },
            ) => devices.block.push(BlockDevice {
                host_path: path,
                container_path: asked.container_path.clone(),
                permissions: asked.permissions.clone(),
                mode,
                uid,
                gid,
                function: None,
                hot_plug: None,
            }),
            (PodKind::Vm, HostDevice::Vfio { functions }) => {
                devices.block.extend(given(asked, functions)?);
            }
            (PodKind::Vm, HostDevice::Missing) if !pod::guest_has_device(&asked.host_path) => {
                return Err(missing(asked));
            }
            _ => devices.of_guest.push(device(asked)),
        }
    }
    Ok(devices)
}

/// Of a function that the pod's VM has, the container gets the guest's disk. What is for all of VFIO means nothing in a guest.
fn given(asked: &CriDevice, functions: Vec<HostFunction>) -> Result<Option<BlockDevice>, Refusal> {
    let mut functions = functions.into_iter();
    let (function, another) = (functions.next(), functions.next());
    if another.is_some() {
        let CriDevice { host_path, .. } = asked;
        return Err(Refusal::unimplemented(format!(
            "the device {host_path:?} is an IOMMU group of several functions: which of them the container is to have can't be told yet"
        )));
    }
    Ok(function.map(|function| BlockDevice {
        host_path: asked.host_path.clone().into(),
        container_path: asked.container_path.clone(),
        permissions: asked.permissions.clone(),
        mode: NODE_MODE,
        uid: 0,
        gid: 0,
        function: Some(function.address),
        hot_plug: Some(function.hot_plug),
    }))
}

fn device(asked: &CriDevice) -> Device {
    Device {
        host_path: asked.host_path.clone(),
        container_path: asked.container_path.clone(),
        permissions: asked.permissions.clone(),
    }
}

fn missing(asked: &CriDevice) -> Refusal {
    let CriDevice {
        host_path,
        container_path,
        ..
    } = asked;
    Refusal::invalid(format!(
        "the device {host_path:?} for {container_path:?} is missing on the node"
    ))
}

#[cfg(test)]
mod tests;
