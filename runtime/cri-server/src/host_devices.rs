//! What the host has at the paths of the devices that a container asks for. Main function: [`look`], which only looks; `translate::devices` decides. Main
//! type: [`HostDevice`].

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::PathBuf,
};

use tonic::Status;

use crate::failure;

/// What is at a path, once its links have been followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostDevice {
    Missing,
    Block {
        /// Without links.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A character device, or none.
    Other,
}

/// Looks. Blocks.
pub(crate) fn look(host_path: &str) -> Result<HostDevice, Status> {
    look_at(host_path).map_err(|error| failure::host_path(host_path, "a device", &error))
}

fn look_at(host_path: &str) -> io::Result<HostDevice> {
    let path = match fs::canonicalize(host_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HostDevice::Missing),
        path => path?,
    };
    let about = fs::metadata(&path)?;
    if !about.file_type().is_block_device() {
        return Ok(HostDevice::Other);
    }
    Ok(HostDevice::Block {
        path,
        mode: about.mode() & 0o777,
        uid: about.uid(),
        gid: about.gid(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_and_what_is_missing_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, target: &str, expect: HostDevice| {
            let link = folder.path().join(name);
            symlink(target, &link).unwrap();
            assert_eq!(look(&link.to_string_lossy()).unwrap(), expect);
        };
        check("null", "/dev/null", HostDevice::Other);
        check("folder", "/dev", HostDevice::Other);
        check("broken", "nowhere", HostDevice::Missing);
        let error = look("/dev/null/deep").unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
        assert!(error.message().contains("/dev/null/deep"), "{error}");
    }
}
