//! What the host has at the paths of the devices that a container asks for. Main function: [`look`], which only looks; `translate::devices` decides. Main
//! type: [`HostDevice`].

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::PathBuf,
};

use devices::{Finder, Host, Name, Wanted, cdi::Cdi};
use tonic::Status;

use crate::{failure, settings::VfioSettings, vfio};

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
    /// A node of VFIO's, and the functions that it stands for. One that is for all of VFIO stands for none.
    Vfio {
        functions: Vec<HostFunction>,
    },
    /// A character device, or none.
    Other,
}

/// A function of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostFunction {
    /// Where it is.
    pub(crate) address: String,
    /// Its IOMMU group, by which a running VM may be given it, or why none may.
    pub(crate) hot_plug: Result<u32, String>,
}

/// Looks. Blocks.
pub(crate) fn look(host_path: &str, settings: &VfioSettings) -> Result<HostDevice, Status> {
    if host_path == IOMMU || host_path.starts_with(VFIO) {
        return functions(host_path, settings);
    }
    look_at(host_path).map_err(|error| failure::host_path(host_path, "a device", &error))
}

/// What device plugins give beside a device's own node: nothing of it means anything in a guest.
const IOMMU: &str = "/dev/iommu";
const VFIO: &str = "/dev/vfio/";

fn functions(host_path: &str, settings: &VfioSettings) -> Result<HostDevice, Status> {
    let host = Host::new("/");
    let finder = Finder {
        host: &host,
        cdi: &Cdi::load(&[]),
        resources: &[],
    };
    let wanted = Wanted {
        container: String::new(),
        name: Name::Node(host_path.to_owned()),
    };
    let found = finder.find(&[wanted]);
    let found = found.map_err(|error| failure::devices(error.fault(), model::chain(&error)))?;
    let functions = found.functions.iter().map(|found| HostFunction {
        address: found.address.to_string(),
        hot_plug: vfio::hot_plug(&host, found.address, settings),
    });
    Ok(HostDevice::Vfio {
        functions: functions.collect(),
    })
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
        let settings = vfio::tests::settings(false);
        let check = |name: &str, target: &str, expect: HostDevice| {
            let link = folder.path().join(name);
            symlink(target, &link).unwrap();
            assert_eq!(look(&link.to_string_lossy(), &settings).unwrap(), expect);
        };
        check("null", "/dev/null", HostDevice::Other);
        check("folder", "/dev", HostDevice::Other);
        check("broken", "nowhere", HostDevice::Missing);
        for node in ["/dev/vfio/vfio", "/dev/iommu"] {
            let functions = Vec::new();
            assert_eq!(
                look(node, &settings).unwrap(),
                HostDevice::Vfio { functions }
            );
        }
        let error = look("/dev/vfio/4000000000", &settings).unwrap_err();
        assert!(error.message().contains("/dev/vfio/4000000000"), "{error}");
        let error = look("/dev/null/deep", &settings).unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
        assert!(error.message().contains("/dev/null/deep"), "{error}");
    }
}
