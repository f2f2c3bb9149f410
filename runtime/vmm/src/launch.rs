//! The launch message and what came with it. Main function: [`receive`]. Main type: [`Parts`], the message's descriptors as what
//! they are.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use monitor::{
    BlockDevice, Console, Disk, Fd, HostFunction, Invalid, Launch, Nic, ReceiveError, Share, Vfio,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{SocketType, sockopt},
};
use thiserror::Error;
use virtio::{
    block,
    fs::{FileSystem, FileSystemError},
    net,
};

use crate::limits::LAUNCH_DEADLINE;

/// Why there is no launch message.
#[derive(Debug, Error)]
pub(crate) enum LaunchError {
    /// Started by hand, or by something else.
    #[error(
        "standard input is not a launch socket: cofferdam-vmm is started by cofferdam, see `cofferdam run --help`"
    )]
    NotASocket,
    /// The launcher says nothing.
    #[error("no launch message came in {} s", LAUNCH_DEADLINE.as_secs())]
    Late,
    /// The launcher went away.
    #[error("the launcher closed the launch socket without a message")]
    Closed,
    /// The kernel refused.
    #[error("{attempt}")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// What came is no message.
    #[error("read the launch message")]
    Receive(#[from] ReceiveError),
    /// What came is no machine.
    #[error("the launch message is refused")]
    Invalid(#[from] Invalid),
}

/// What came with the message.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) kvm: OwnedFd,
    pub(crate) kernel: File,
    pub(crate) guest_image: Option<File>,
    pub(crate) control_listener: OwnedFd,
    pub(crate) vsock_listener: OwnedFd,
    pub(crate) console: Option<File>,
    pub(crate) disks: Vec<block::Disk>,
    pub(crate) nics: Vec<net::Nic>,
    pub(crate) vfio: Option<VfioParts>,
}

/// VFIO's descriptors.
#[derive(Debug)]
pub(crate) struct VfioParts {
    /// The container, or the iommufd.
    pub(crate) domain: OwnedFd,
    /// Groups, or cdevs.
    pub(crate) nodes: Vec<OwnedFd>,
}

/// The descriptors of one message, each to be taken.
#[derive(Debug)]
pub(crate) struct Parcel(Vec<Option<OwnedFd>>);

/// Why a disk can't be made of what came.
#[derive(Debug, Error)]
pub(crate) enum DiskError {
    /// Bounds.
    #[error("the disk is refused")]
    Invalid(#[from] Invalid),
    /// One descriptor for several segments could not be duplicated.
    #[error("share a file between segments of disk {id}")]
    Share {
        /// The disk's id.
        id: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The device does not take it.
    #[error("make disk {id}")]
    Device {
        /// The disk's id.
        id: String,
        /// Why not.
        #[source]
        source: block::DiskError,
    },
}

/// Why a NIC can't be made of what came.
#[derive(Debug, Error)]
pub(crate) enum NicError {
    /// Bounds.
    #[error("the NIC is refused")]
    Invalid(#[from] Invalid),
    /// The device does not take it.
    #[error("make NIC {id}")]
    Device {
        /// The NIC's id.
        id: String,
        /// Why not.
        #[source]
        source: net::NicError,
    },
}

/// Why a share can't be made of what came.
#[derive(Debug, Error)]
pub(crate) enum ShareError {
    /// Bounds.
    #[error("the share is refused")]
    Invalid(#[from] Invalid),
    /// The device does not take it.
    #[error("make share {tag}")]
    Device {
        /// The share's tag.
        tag: String,
        /// Why not.
        #[source]
        source: FileSystemError,
    },
}

/// Why the parts of a machine can't be made of what came.
#[derive(Debug, Error)]
pub(crate) enum PartsError {
    /// A descriptor.
    #[error("the launch message is refused")]
    Invalid(#[from] Invalid),
    /// A disk.
    #[error("make a disk of the launch message")]
    Disk(#[from] DiskError),
    /// A NIC.
    #[error("make a NIC of the launch message")]
    Nic(#[from] NicError),
}

/// The launch socket: standard input, so that the launcher needs no number to agree on and nothing else is inherited.
pub(crate) fn socket() -> Result<OwnedFd, LaunchError> {
    let input = io::stdin();
    if sockopt::socket_type(&input) != Ok(SocketType::SEQPACKET) {
        return Err(LaunchError::NotASocket);
    }
    let duplicate = |source| LaunchError::Refused {
        attempt: "duplicate the launch socket",
        source,
    };
    let socket = input.as_fd().try_clone_to_owned().map_err(duplicate)?;
    let unblock = |source| LaunchError::Refused {
        attempt: "unblock the launch socket",
        source,
    };
    rustix::io::ioctl_fionbio(&socket, true).map_err(|errno| unblock(errno.into()))?;
    Ok(socket)
}

/// Waits for the message and checks it.
pub(crate) fn receive(socket: &OwnedFd) -> Result<(Launch, Parcel), LaunchError> {
    wait(socket)?;
    let received = monitor::receive::<Launch>(socket)?.ok_or(LaunchError::Closed)?;
    received.message.check(received.fds.len())?;
    Ok((received.message, Parcel::new(received.fds)))
}

fn wait(socket: &OwnedFd) -> Result<(), LaunchError> {
    let deadline = Timespec::try_from(LAUNCH_DEADLINE).ok();
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut fds, deadline.as_ref()) {
        Ok(0) => Err(LaunchError::Late),
        Ok(_) => Ok(()),
        Err(errno) => {
            let attempt = "wait for the launch message";
            Err(LaunchError::Refused {
                attempt,
                source: errno.into(),
            })
        }
    }
}

impl Parcel {
    pub(crate) fn new(fds: Vec<OwnedFd>) -> Self {
        Self(fds.into_iter().map(Some).collect())
    }

    /// Takes all that a checked message names.
    pub(crate) fn unpack(mut self, launch: &Launch) -> Result<Parts, PartsError> {
        let disks = launch.disks.iter().map(|disk| self.disk(disk));
        let disks = disks.collect::<Result<_, _>>()?;
        let nics = launch.nics.iter().map(|nic| self.nic(nic));
        let nics = nics.collect::<Result<_, _>>()?;
        let vfio = launch.vfio.as_ref().map(|vfio| self.vfio(vfio));
        Ok(Parts {
            vfio: vfio.transpose()?,
            kvm: self.take(launch.kvm)?,
            kernel: self.take(launch.kernel)?.into(),
            guest_image: launch
                .guest_image
                .map(|fd| self.take(fd))
                .transpose()?
                .map(File::from),
            control_listener: self.take(launch.control_listener)?,
            vsock_listener: self.take(launch.vsock.listener)?,
            console: match launch.console {
                Console::Off => None,
                Console::Log(fd) => Some(self.take(fd)?.into()),
            },
            disks,
            nics,
        })
    }

    /// A device from a checked disk.
    pub(crate) fn disk(&mut self, disk: &Disk) -> Result<block::Disk, DiskError> {
        let id = || disk.id.to_string();
        let mut segments = Vec::with_capacity(disk.segments.len());
        for (index, segment) in disk.segments.iter().enumerate() {
            let rest = disk.segments.get(index + 1..).unwrap_or_default();
            let file = if rest.iter().any(|later| later.fd == segment.fd) {
                self.duplicate(segment.fd, &disk.id.to_string())?
            } else {
                self.take(segment.fd)?
            };
            segments.push(block::layout::Segment {
                file: file.into(),
                offset: segment.offset,
                length: segment.length,
            });
        }
        let access = access(disk.read_only);
        let device = |source| DiskError::Device { id: id(), source };
        let identity = block::Identity::new(disk.id.as_str()).map_err(device)?;
        block::Disk::new(segments, access, identity)
            .map_err(|source| DiskError::Device { id: id(), source })
    }

    /// A disk from a checked block device.
    pub(crate) fn block_device(&mut self, device: &BlockDevice) -> Result<block::Disk, DiskError> {
        let made = |source| DiskError::Device {
            id: device.id.to_string(),
            source,
        };
        let file = File::from(self.take(device.fd)?);
        let identity = block::Identity::new(device.id.as_str()).map_err(made)?;
        let storage = block::BlockDevice {
            block_bytes: device.block_bytes,
            discard_bytes: device.discard_bytes,
            writes_zeroes: device.writes_zeroes,
        };
        let access = access(device.read_only);
        let disk = block::Disk::of_block_device((file, device.length), storage, access, identity);
        disk.map_err(made)
    }

    /// A device from a checked NIC.
    pub(crate) fn nic(&mut self, nic: &Nic) -> Result<net::Nic, NicError> {
        let mut queues = Vec::with_capacity(nic.queues.len());
        for queue in &nic.queues {
            queues.push(net::NicQueue {
                tap: self.take(queue.tap)?,
                vhost: queue.vhost.map(|vhost| self.take(vhost)).transpose()?,
            });
        }
        let link = net::Link {
            mac: nic.mac.bytes(),
            mtu: nic.mtu,
        };
        net::Nic::new(link, queues).map_err(|source| NicError::Device {
            id: nic.id.to_string(),
            source,
        })
    }

    /// A device from a checked share.
    pub(crate) fn share(&mut self, share: &Share) -> Result<FileSystem, ShareError> {
        let socket = self.take(share.socket)?;
        FileSystem::new(share.tag.as_str(), socket).map_err(|source| ShareError::Device {
            tag: share.tag.to_string(),
            source,
        })
    }

    /// The descriptors of a checked function.
    pub(crate) fn function(&mut self, function: &HostFunction) -> Result<VfioParts, Invalid> {
        Ok(VfioParts {
            domain: self.take(function.container)?,
            nodes: vec![self.take(function.group)?],
        })
    }

    fn vfio(&mut self, vfio: &Vfio) -> Result<VfioParts, Invalid> {
        let domain = self.take(vfio.access.domain())?;
        let nodes = vfio.access.nodes().iter().map(|node| self.take(*node));
        Ok(VfioParts {
            domain,
            nodes: nodes.collect::<Result<_, _>>()?,
        })
    }

    /// A descriptor that stays where it is.
    pub(crate) fn look(&self, fd: Fd) -> Result<BorrowedFd<'_>, Invalid> {
        let count = self.0.len();
        let place = self.0.get(usize::from(fd.0)).and_then(Option::as_ref);
        let found = place.ok_or(Invalid::FdMissing { slot: fd.0, count })?;
        Ok(found.as_fd())
    }

    fn take(&mut self, fd: Fd) -> Result<OwnedFd, Invalid> {
        let count = self.0.len();
        let place = self.0.get_mut(usize::from(fd.0));
        let place = place.ok_or(Invalid::FdMissing { slot: fd.0, count })?;
        place.take().ok_or(Invalid::FdTwice { slot: fd.0 })
    }

    fn duplicate(&self, fd: Fd, id: &str) -> Result<OwnedFd, DiskError> {
        let count = self.0.len();
        let place = self.0.get(usize::from(fd.0)).and_then(Option::as_ref);
        let file = place.ok_or(Invalid::FdMissing { slot: fd.0, count })?;
        file.try_clone().map_err(|source| DiskError::Share {
            id: id.to_owned(),
            source,
        })
    }
}

fn access(read_only: bool) -> block::Access {
    match read_only {
        true => block::Access::ReadOnly,
        false => block::Access::Writable,
    }
}
