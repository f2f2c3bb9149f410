//! The devices of this guest, as nodes for a privileged container. Main function: [`add`]. Only the agent can know them.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Spec};

use crate::failure::Failure;

/// Most nodes that are looked at; a guest has some hundred.
const MOST: usize = 4096;

/// Folders of /dev that the container has mounts of its own for.
const OWN: [&str; 3] = ["pts", "shm", "mqueue"];

/// Nodes that the container has of its own, whatever the guest's are.
const TERMINALS: [&str; 2] = ["console", "ptmx"];

/// Adds a node for each device below `folder` to the specification's.
pub(crate) fn add(spec: &mut Spec, folder: &Path) -> Result<(), Failure> {
    let found = find(folder).map_err(|error| {
        Failure::internal(&format!("list the devices in {}", folder.display()), &error)
    })?;
    if let Some(linux) = spec.linux_mut() {
        let mut all = linux.devices().clone().unwrap_or_default();
        for device in found {
            if all.iter().all(|given| given.path() != device.path()) {
                all.push(device);
            }
        }
        linux.set_devices(Some(all));
    }
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
