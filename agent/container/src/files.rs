//! Files that a pod gives to each of its containers, such as /etc/hosts: added to a specification as bind mounts. Main function:
//! [`mount_files`]. Above: agentd, which keeps the files.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{MountBuilder, Root, Spec};

use crate::{failure::Failure, inside};

/// A file of the agent's that containers are to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFile {
    /// Where it lies in the agent's file system.
    pub source: PathBuf,
    /// Where the container sees it.
    pub target: &'static str,
}

/// Adds the files to the mounts of a specification for the container at `root`, except where it mounts something there itself. They are read-only where the
/// container's root is.
///
/// # Errors
/// When a mount cannot be described or its point cannot be prepared.
pub fn mount_files(
    spec: &mut Spec,
    files: &[PodFile],
    root: &Path,
    root_writable: bool,
) -> Result<(), Failure> {
    let read_only = !root_writable || spec.root().as_ref().and_then(Root::readonly) == Some(true);
    let access = if read_only { "ro" } else { "rw" };
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for PodFile { source, target } in files {
        // Paths are compared by their parts, so a slash too many does not matter.
        if mounts
            .iter()
            .any(|mount| mount.destination() == Path::new(target))
        {
            continue;
        }
        inside::remove_broken_link(root, Path::new(target))
            .map_err(|error| Failure::internal(&format!("make room for {target}"), &error))?;
        let options = ["bind", "rprivate", "nosuid", "nodev", "noexec", access];
        let mount = MountBuilder::default()
            .destination(*target)
            .typ("bind")
            .source(source)
            .options(options.map(str::to_owned).to_vec())
            .build()
            .map_err(|error| Failure::internal(&format!("mount {target}"), &error))?;
        // Behind the others: one of them may be on /etc.
        mounts.push(mount);
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

#[cfg(test)]
mod tests;
