//! Which devices a container sees and may open. Main functions: [`nodes`], [`rules`].
//!
//! A container without CAP_MKNOD has no way to a device beyond its nodes. One with it, or with nodes of its own, gets a filter, for else it could
//! open the pod's disks.

use model::{BlockDevice, Device, Security};
use oci_spec::{
    OciSpecError,
    runtime::{
        Capabilities, Capability, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup,
        LinuxDeviceCgroupBuilder, LinuxDeviceType,
    },
};

use super::error::SpecificationError;

/// Asks the agent for a node for each of the guest's devices, of which the host knows nothing.
const DEVICES_ANNOTATION: (&str, &str) = ("cofferdam.agent.devices", "all");

/// Says that disks come beside the specification: an agent that knows of none refuses.
const DISKS_ANNOTATION: (&str, &str) = ("cofferdam.agent.disks", "mounted");

/// Character devices that every guest has, by number (Documentation/admin-guide/devices.txt). The first six are in every container.
const SERVED: [(&str, i64, i64); 9] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
    ("/dev/kmsg", 1, 11),
    ("/dev/fuse", 10, 229),
    ("/dev/net/tun", 10, 200),
];

/// The nodes to make.
pub(super) fn nodes(security: &Security) -> Result<Vec<LinuxDevice>, SpecificationError> {
    let node = |device: &Device| {
        let (major, minor) = number(device)?;
        if !below_dev(&device.container_path) {
            let rule = format!("at {:?}, which is not below /dev", device.container_path);
            return Err(bad(device, rule));
        }
        Ok(LinuxDeviceBuilder::default()
            .path(device.container_path.as_str())
            .typ(LinuxDeviceType::C)
            .major(major)
            .minor(minor)
            .file_mode(0o666_u32)
            .uid(0_u32)
            .gid(0_u32)
            .build()?)
    };
    security.devices.iter().map(node).collect()
}

/// What the cgroup's filter says: nothing but the container's nodes, where there has to be a filter.
pub(super) fn rules(
    security: &Security,
    bounding: &Capabilities,
) -> Result<Vec<LinuxDeviceCgroup>, SpecificationError> {
    let needed = security.filters_devices
        || bounding.contains(&Capability::Mknod)
        || !security.devices.is_empty()
        || !security.block_devices.is_empty();
    if security.privileged || !needed {
        return Ok(Vec::new());
    }
    let mut rules = vec![deny_all()?];
    for device in &security.devices {
        let (major, minor) = number(device)?;
        check_permissions(&device.host_path, &device.permissions)?;
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(LinuxDeviceType::C)
            .major(major)
            .minor(minor)
            .access(device.permissions.as_str())
            .build()?;
        rules.push(rule);
    }
    Ok(rules)
}

/// Whether the block devices can be given. The agent makes their nodes, and the rules that allow them: only it knows their numbers.
pub(super) fn check_block_devices(devices: &[BlockDevice]) -> Result<(), SpecificationError> {
    for device in devices {
        let host_path = device.host_path.display().to_string();
        check_permissions(&host_path, &device.permissions)?;
        if !is_place(&device.container_path) {
            let rule = format!(
                "at {:?}, which is no path from the root",
                device.container_path
            );
            return Err(SpecificationError::DeviceRule { host_path, rule });
        }
    }
    Ok(())
}

/// The annotations' names and values, where they are needed.
pub(super) fn annotations(security: &Security) -> impl Iterator<Item = (String, String)> {
    let needed = [
        (security.privileged, DEVICES_ANNOTATION),
        (!security.block_devices.is_empty(), DISKS_ANNOTATION),
    ];
    let needed = needed.into_iter().filter(|(is, _)| *is);
    needed.map(|(_, (name, value))| (name.to_owned(), value.to_owned()))
}

fn check_permissions(host_path: &str, letters: &str) -> Result<(), SpecificationError> {
    if letters.is_empty() || letters.chars().any(|letter| !"rwm".contains(letter)) {
        return Err(SpecificationError::DeviceRule {
            host_path: host_path.to_owned(),
            rule: format!("with {letters:?}; r, w and m are known"),
        });
    }
    Ok(())
}

fn deny_all() -> Result<LinuxDeviceCgroup, OciSpecError> {
    LinuxDeviceCgroupBuilder::default()
        .allow(false)
        .access("rwm")
        .build()
}

fn number(device: &Device) -> Result<(i64, i64), SpecificationError> {
    SERVED
        .iter()
        .find(|(path, ..)| *path == device.host_path)
        .map(|(_, major, minor)| (*major, *minor))
        .ok_or_else(|| SpecificationError::Device {
            host_path: device.host_path.clone(),
            served: SERVED.map(|(path, ..)| path).join(", "),
        })
}

fn below_dev(path: &str) -> bool {
    path.strip_prefix("/dev").is_some_and(is_place)
}

/// Absolute, and of names alone.
fn is_place(path: &str) -> bool {
    let Some(below) = path.strip_prefix('/') else {
        return false;
    };
    below
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Whether every guest has the device that a host has at this path.
#[must_use]
pub fn guest_has_device(host_path: &str) -> bool {
    SERVED.iter().any(|(path, ..)| *path == host_path)
}

fn bad(device: &Device, rule: String) -> SpecificationError {
    SpecificationError::DeviceRule {
        host_path: device.host_path.clone(),
        rule,
    }
}

#[cfg(test)]
mod tests;
