//! Which devices a container sees and may open. Main functions: [`nodes`], [`rules`].
//!
//! A container without CAP_MKNOD has no way to a device beyond its nodes. One with it, or with nodes of its own, gets a filter, for else it could
//! open the pod's disks.

use model::{Device, Security};
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
        || !security.devices.is_empty();
    if security.privileged || !needed {
        return Ok(Vec::new());
    }
    let mut rules = vec![deny_all()?];
    for device in &security.devices {
        let (major, minor) = number(device)?;
        let letters = &device.permissions;
        if letters.is_empty() || letters.chars().any(|letter| !"rwm".contains(letter)) {
            let rule = format!("with {letters:?}; r, w and m are known");
            return Err(bad(device, rule));
        }
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(LinuxDeviceType::C)
            .major(major)
            .minor(minor)
            .access(letters.as_str())
            .build()?;
        rules.push(rule);
    }
    Ok(rules)
}

/// The annotation's name and value, where it is needed.
pub(super) fn annotation(security: &Security) -> Option<(String, String)> {
    let (name, value) = DEVICES_ANNOTATION;
    security
        .privileged
        .then(|| (name.to_owned(), value.to_owned()))
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
    let Some(below) = path.strip_prefix("/dev/") else {
        return false;
    };
    below
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..")
}

fn bad(device: &Device, rule: String) -> SpecificationError {
    SpecificationError::DeviceRule {
        host_path: device.host_path.clone(),
        rule,
    }
}

#[cfg(test)]
mod tests;
