//! The devices of this guest: as nodes for a privileged container ([`add`]), and mounted for one in a user namespace ([`bind`]). Only the agent
//! can know them.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, MountBuilder, Spec};

use crate::failure::Failure;

/// Most nodes that are looked at; a guest has some hundred.
const MOST: usize = 4096;

/// Folders of /dev that the container has mounts of its own for.
const OWN: [&str; 3] = ["pts", "shm", "mqueue"];

/// Nodes that the container has of its own, whatever the guest's are.
const TERMINALS: [&str; 2] = ["console", "ptmx"];

/// Adds a node for each device below `folder` to the specification's, but where something is mounted: it would be in the way.
pub(crate) fn add(spec: &mut Spec, folder: &Path) -> Result<(), Failure> {
    let found = find(folder).map_err(|error| {
        Failure::internal(&format!("list the devices in {}", folder.display()), &error)
    })?;
    let mounts = spec.mounts().clone().unwrap_or_default();
    if let Some(linux) = spec.linux_mut() {
        let mut all = linux.devices().clone().unwrap_or_default();
        for device in found {
            let given = all.iter().any(|given| given.path() == device.path());
            let mounted = mounts
                .iter()
                .any(|mount| mount.destination() == device.path());
            if !given && !mounted {
                all.push(device);
            }
        }
        linux.set_devices(Some(all));
    }
    Ok(())
}

/// Mounts the nodes of `folder`, the guest's, in the place of those that the specification lists, with the modes that it says.
pub(crate) fn bind(spec: &mut Spec, folder: &Path) -> Result<(), Failure> {
    let Some(wanted) = spec.linux_mut().as_mut().and_then(|linux| {
        let devices = linux.devices().clone();
        linux.set_devices(None);
        devices
    }) else {
        return Ok(());
    };
    let there = find(folder).map_err(|error| {
        Failure::internal(&format!("list the devices in {}", folder.display()), &error)
    })?;
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for device in &wanted {
        let at = device.path().display();
        let same = |one: &&LinuxDevice| {
            (one.typ(), one.major(), one.minor()) == (device.typ(), device.major(), device.minor())
        };
        let found = there.iter().find(same).ok_or_else(|| {
            let text =
                format!("the guest has no device for {at}, and a user namespace can't make one");
            Failure::invalid(text)
        })?;
        let source = folder.join(found.path().strip_prefix("/dev").unwrap_or(found.path()));
        let mode = fs::Permissions::from_mode(device.file_mode().unwrap_or(0o666));
        fs::set_permissions(&source, mode)
            .map_err(|error| Failure::internal(&format!("set the mode of {at}"), &error))?;
        let options = ["bind", "nosuid", "noexec"].map(str::to_owned).to_vec();
        let mount = MountBuilder::default()
            .destination(device.path())
            .typ("bind")
            .source(source)
            .options(options)
            .build()
            .map_err(|error| Failure::internal(&format!("mount {at}"), &error))?;
        mounts.push(mount);
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

fn find(folder: &Path) -> io::Result<Vec<LinuxDevice>> {
    let mut found = Vec::new();
    // (where it is, what it is below /dev)
    let mut folders = vec![(folder.to_owned(), PathBuf::from("/dev"))];
    while let Some((from, to)) = folders.pop() {
        let top = from == folder;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let name = entry.file_name();
            let is = |names: &[&str]| top && names.iter().any(|own| name == **own);
            let path = to.join(&name);
            let kind = entry.file_type()?;
            if kind.is_dir() && !is(&OWN) {
                folders.push((entry.path(), path));
            } else if !is(&TERMINALS) && (kind.is_char_device() || kind.is_block_device()) {
                found.push(device(&entry.path(), path)?);
            }
            if found.len() + folders.len() > MOST {
                return Err(io::Error::other(format!("there are more than {MOST}")));
            }
        }
    }
    Ok(found)
}

fn device(from: &Path, path: PathBuf) -> io::Result<LinuxDevice> {
    let metadata = fs::symlink_metadata(from)?;
    let kind = if metadata.file_type().is_block_device() {
        LinuxDeviceType::B
    } else {
        LinuxDeviceType::C
    };
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(kind)
        .major(i64::from(rustix::fs::major(metadata.rdev())))
        .minor(i64::from(rustix::fs::minor(metadata.rdev())))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
