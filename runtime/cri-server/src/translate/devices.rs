//! The devices that a container asks for: those of the guest, and block devices of the host, which the kubelet gives for `volumeDevices`. Main
//! function: [`devices`]. `pod` checks what is said of each.

use cri::v1::{ContainerConfig, Device as CriDevice};
use model::{BlockDevice, Device};

use super::{pod_kind::PodKind, refusal::Refusal};
use crate::host_devices::HostDevice;

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
            }),
            (PodKind::Vm, HostDevice::Missing) if !pod::guest_has_device(&asked.host_path) => {
                return Err(missing(asked));
            }
            _ => devices.of_guest.push(device(asked)),
        }
    }
    Ok(devices)
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
