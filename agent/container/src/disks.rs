//! Disks that a container has as block devices: the guest's nodes, mounted, because a node can be at any path and in a user namespace none can be
//! made. Main function: [`mount_disks`]. Above: agentd, which brings the disks in.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, Spec};

use crate::{
    failure::Failure,
    volumes::{VolumeSource, mount_volumes},
};

/// A disk's node for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskNode {
    /// The guest's: `/dev/vdb`.
    pub node: PathBuf,
    /// Where the container has it; absolute.
    pub path: PathBuf,
    /// Some of `r`, `w` and `m`.
    pub access: String,
    /// Permission bits.
    pub mode: u32,
    /// User and group in the guest.
    pub owner: (u32, u32),
}

/// Adds the disks to the mounts and the device rules of a specification for the container at `root`.
///
/// # Errors
/// When a node is no block device, can't be given its mode and owner, or a mount can't be described.
pub fn mount_disks(spec: &mut Spec, disks: &[DiskNode], root: &Path) -> Result<(), Failure> {
    if disks.is_empty() {
        return Ok(());
    }
    let mut allowed = Vec::with_capacity(disks.len());
    for disk in disks {
        let rule = prepare(disk);
        let attempt = || format!("prepare {} for the container", disk.node.display());
        allowed.push(rule.map_err(|error| Failure::internal(&attempt(), &error))?);
    }
    allow(spec, allowed);
    let mount = |disk: &DiskNode| VolumeSource {
        source: disk.node.clone(),
        destination: disk.path.clone(),
        options: vec!["bind", "nosuid", "noexec"],
    };
    let mounts: Vec<_> = disks.iter().map(mount).collect();
    mount_volumes(spec, &mounts, root)
}

/// Gives the node its mode and owner. The rule that allows its use.
fn prepare(disk: &DiskNode) -> io::Result<LinuxDeviceCgroup> {
    let about = fs::symlink_metadata(&disk.node)?;
    if !about.file_type().is_block_device() {
        return Err(io::Error::other("it is no block device"));
    }
    let (uid, gid) = disk.owner;
    chown(&disk.node, Some(uid), Some(gid))?;
    fs::set_permissions(&disk.node, fs::Permissions::from_mode(disk.mode & 0o777))?;
    rule(about.rdev(), &disk.access)
}

fn rule(device: u64, access: &str) -> io::Result<LinuxDeviceCgroup> {
    LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(LinuxDeviceType::B)
        .major(i64::from(rustix::fs::major(device)))
        .minor(i64::from(rustix::fs::minor(device)))
        .access(access)
        .build()
        .map_err(io::Error::other)
}

/// A specification without rules lets the container use every device that it has a node of.
fn allow(spec: &mut Spec, allowed: Vec<LinuxDeviceCgroup>) {
    let resources = spec.linux_mut().as_mut();
    let Some(resources) = resources.and_then(|linux| linux.resources_mut().as_mut()) else {
        return;
    };
    match resources.devices().clone() {
        Some(mut rules) if !rules.is_empty() => {
            rules.extend(allowed);
            resources.set_devices(Some(rules));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
