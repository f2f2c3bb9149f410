//! What a container mounts, as plain values. Main types: [`Mount`], where and how; [`HostVolume`], what of the host. `pod` brings it into the guest.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::HugePages;

/// Where a container sees something, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute.
    pub destination: String,
    /// It can't be written to.
    pub read_only: bool,
    /// With `read_only`: nor can what is mounted below it.
    pub recursive_read_only: bool,
    /// Mounts that are made below it later are seen, too.
    pub receives_mounts: bool,
    /// Owners are seen through the pod's user namespace: user 0 of what is mounted is its root.
    #[serde(default)]
    pub map_owners: bool,
    /// What the container mounts below it is seen by the pod's others that share or receive mounts there, and the other way round; of a pod on the host, where it
    /// comes from, too.
    #[serde(default)]
    pub shares_mounts: bool,
}

/// Something of the host that a container mounts. Paths are the host's, without links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostVolume {
    /// A folder that is copied into the guest. With a link `..data` in it the copy follows the host's: the kubelet's ConfigMaps, Secrets,
    /// projected volumes. The pod's containers share it.
    Files {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder that is copied when the container starts, for it alone.
    Copy {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file that is copied when the container starts, and whose end is written back when it ends: /dev/termination-log.
    WrittenBack {
        /// The file.
        path: PathBuf,
    },
    /// Guest memory in place of a tmpfs of the host, whose mode, owner and first content it has. The pod's containers share it.
    Memory {
        /// Where the host has its tmpfs mounted.
        path: PathBuf,
        /// Room in it, in bytes.
        bytes: u64,
        /// What of it; empty is all. Made when it is missing.
        sub_path: String,
    },
    /// A folder that its pod alone has, as a disk of the guest whose image lies in the folder. The pod's containers share it.
    Disk {
        /// The folder.
        path: PathBuf,
        /// From which its image is made.
        template: PathBuf,
        /// Most bytes in it; none is as much as the template's disk has.
        limit_bytes: Option<u64>,
        /// What of it; empty is all. Made when it is missing.
        sub_path: String,
    },
    /// Huge pages of the guest in place of those of the host, with mode and owner of whose folder. The pod's containers share them.
    HugePages {
        /// Where the host has its hugetlbfs mounted.
        path: PathBuf,
        /// The pages, and how much of them the guest is to have.
        pages: HugePages,
        /// What of it; empty is all. Made when it is missing.
        sub_path: String,
    },
    /// A file or folder that the guest works on itself.
    Share {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder that the guest works on itself and that its pod alone has, such as an emptyDir: all mounts of it are of one share, whatever their rights are, so
    /// that what one container mounts in it others can see.
    Own {
        /// The folder.
        path: PathBuf,
    },
    /// A unix socket for streams. The guest has one like it, and each connection there becomes one here. The pod's containers share it.
    Socket {
        /// The socket.
        path: PathBuf,
    },
    /// Whatever is there, itself: for a pod on the host. A folder is made where nothing is.
    Bind {
        /// The path.
        path: PathBuf,
    },
}

impl HostVolume {
    /// What it is of the host.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Files { path }
            | Self::Copy { path }
            | Self::WrittenBack { path }
            | Self::Memory { path, .. }
            | Self::Disk { path, .. }
            | Self::HugePages { path, .. }
            | Self::Share { path }
            | Self::Own { path }
            | Self::Socket { path }
            | Self::Bind { path } => path,
        }
    }
}
