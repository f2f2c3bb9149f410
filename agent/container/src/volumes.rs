//! What a container sees of its pod's volumes: added to a specification as bind mounts. Main function: [`mount_volumes`]. Above: agentd,
//! which keeps the volumes.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder, Spec};

use crate::{failure::Failure, inside};

/// The option of a mount that propagates what is mounted below it to where it comes from.
const SHARED: &str = "rshared";

/// A folder or file of the agent's that a container is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSource {
    /// Where it lies in the agent's file system.
    pub source: PathBuf,
    /// Where the container sees it; absolute.
    pub destination: PathBuf,
    /// As the OCI specification has them.
    pub options: Vec<&'static str>,
}

/// Adds the volumes to the mounts of a specification for the container at `root`. One takes the place of a mount with the same
/// destination; one at /dev of those below it, too, which would be hidden.
///
/// # Errors
/// When a mount cannot be described or its point cannot be prepared.
pub fn mount_volumes(
    spec: &mut Spec,
    volumes: &[VolumeSource],
    root: &Path,
) -> Result<(), Failure> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.retain(|mount| !volumes.iter().any(|volume| volume.replaces(mount)));
    for volume in volumes {
        let target = volume.destination.display();
        inside::remove_broken_link(root, &volume.destination)
            .map_err(|error| Failure::internal(&format!("make room for {target}"), &error))?;
        let options: Vec<String> = volume
            .options
            .iter()
            .map(|option| (*option).to_owned())
            .collect();
        let mount = MountBuilder::default()
            .destination(&volume.destination)
            .typ("bind")
            .source(&volume.source)
            .options(options)
            .build()
            .map_err(|error| Failure::internal(&format!("mount {target}"), &error))?;
        mounts.push(mount);
    }
    spec.set_mounts(Some(mounts));
    // libcontainer makes all that it has of the agent's mounts slaves first, unless the root is to be shared; then those stay peers that are.
    if volumes
        .iter()
        .any(|volume| volume.options.contains(&SHARED))
        && let Some(linux) = spec.linux_mut()
    {
        linux.set_rootfs_propagation(Some("shared".to_owned()));
    }
    Ok(())
}

impl VolumeSource {
    fn replaces(&self, mount: &Mount) -> bool {
        let there = mount.destination();
        *there == self.destination
            || (self.destination == Path::new("/dev") && there.starts_with("/dev"))
    }
}

#[cfg(test)]
mod tests;
