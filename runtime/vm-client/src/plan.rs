//! What to launch, in terms of open files. Main type: [`LaunchPlan`]; it becomes a `Launch` message and the descriptors
//! beside it.

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use monitor::{
    BlockDevice, Console, Disk, DiskId, Fd, HostFunction, Identity, Launch, Lifetime, Mac, Nic,
    NicId, NicQueue, PciAddress, Processors, Segment, Share, ShareTag, VERSION, Vfio, VfioAccess,
    VfioFunction, Vsock, limits,
};

use crate::Deadlines;

/// The guest's vsock context id. The device is not the host's, so every guest can have the same.
const GUEST_CID: u32 = 3;

/// A machine to launch.
#[derive(Debug)]
pub struct LaunchPlan {
    /// The monitor, `cofferdam-vmm`.
    pub program: PathBuf,
    /// The folder where its sockets are made. It exists, and nobody else can enter it.
    pub run_folder: PathBuf,
    /// `cgroup.procs` of the cgroup that the monitor is to live in, open for writing.
    pub cgroup: Option<File>,
    /// What the machine is called; for people.
    pub name: String,
    /// Whom the monitor becomes.
    pub identity: Identity,
    /// When the machine ends by itself.
    pub lifetime: Lifetime,
    /// Processors, at boot and in all.
    pub processors: Processors,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Words to add to the kernel's command line.
    pub command_line: String,
    /// An uncompressed vmlinux.
    pub kernel: File,
    /// The guest's root, a cpio archive.
    pub guest_image: Option<File>,
    /// Where the guest's console goes, if anywhere.
    pub console: Option<File>,
    /// Disks that are there from the start.
    pub disks: Vec<DiskPlan>,
    /// NICs that are there from the start.
    pub nics: Vec<NicPlan>,
    /// Functions of the host that it is given by VFIO.
    pub vfio: Option<VfioPlan>,
    /// How many it may be given at a time while it runs, beside those.
    pub later_functions: u8,
    /// How long to wait for the monitor.
    pub deadlines: Deadlines,
}

/// A disk to give to a machine.
#[derive(Debug)]
pub struct DiskPlan {
    /// What the guest sees as its serial number.
    pub id: DiskId,
    /// Its content, in order.
    pub segments: Vec<SegmentPlan>,
    /// Whether the guest may not write. If it may, there is one segment, and its file is open for writing.
    pub read_only: bool,
}

/// An extent of an open file; both numbers in bytes and multiples of 4096.
#[derive(Debug)]
pub struct SegmentPlan {
    /// The file.
    pub file: File,
    /// Where the extent begins.
    pub offset: u64,
    /// Its length.
    pub length: u64,
}

/// A block device of the host to give to a machine.
#[derive(Debug)]
pub struct BlockDevicePlan {
    /// What the guest sees as its serial number.
    pub id: DiskId,
    /// The device, open for reading, and for writing too unless it is read-only.
    pub file: File,
    /// Bytes of it.
    pub length: u64,
    /// Whether the guest may not write.
    pub read_only: bool,
    /// Bytes of its logical block.
    pub block_bytes: u32,
    /// It takes discards, best of multiples of this many bytes; 0 is none.
    pub discard_bytes: u32,
    /// It writes zeroes by itself.
    pub writes_zeroes: bool,
}

/// A NIC to give to a machine.
#[derive(Debug)]
pub struct NicPlan {
    /// What it is called between us and the monitor.
    pub id: NicId,
    /// By which the guest knows it.
    pub mac: Mac,
    /// Largest packet, in bytes.
    pub mtu: u16,
    /// Its pairs of queues.
    pub queues: Vec<NicQueuePlan>,
}

/// The host's side of one pair of a NIC's queues.
#[derive(Debug)]
pub struct NicQueuePlan {
    /// A queue of its tap, made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR (and IFF_MULTI_QUEUE if there are several) and a
    /// header of 12 bytes (TUNSETVNETHDRSZ).
    pub tap: OwnedFd,
    /// /dev/vhost-net, opened for this pair, if the host has it.
    pub vhost: Option<OwnedFd>,
}

/// Functions of the host to give to a machine.
#[derive(Debug)]
pub struct VfioPlan {
    /// The way to them.
    pub interface: VfioInterface,
    /// /dev/vfio/vfio or /dev/iommu, opened for this machine.
    pub domain: File,
    /// /dev/vfio/GROUP of each IOMMU group, which nobody else can open while it is open; or /dev/vfio/devices/vfioN of each function.
    pub nodes: Vec<File>,
    /// Where each function is on the host, and the place of its node.
    pub functions: Vec<(PciAddress, u8)>,
}

/// One of the kernel's two interfaces to functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VfioInterface {
    /// Container and groups.
    Type1,
    /// iommufd and cdevs, Linux 6.6 and newer.
    Iommufd,
}

/// A function of the host to give to a running machine.
#[derive(Debug)]
pub struct FunctionPlan {
    /// Where it is on the host.
    pub host_address: PciAddress,
    /// /dev/vfio/vfio, opened for this function.
    pub container: File,
    /// /dev/vfio/GROUP of its IOMMU group. Nobody else can open it while it is open.
    pub group: File,
}

/// A share to give to a machine.
#[derive(Debug)]
pub struct SharePlan {
    /// By which the guest mounts it.
    pub tag: ShareTag,
    /// A SOCK_SEQPACKET socket whose other end is the share server's.
    pub socket: OwnedFd,
}

/// The sockets that a monitor is given beside the plan's files.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) control: OwnedFd,
    pub(crate) vsock: OwnedFd,
}

/// The descriptors of one message, in their places.
#[derive(Debug, Default)]
pub(crate) struct Parcel<'a> {
    fds: Vec<BorrowedFd<'a>>,
}

impl<'a> Parcel<'a> {
    /// Puts a descriptor into the parcel. Past 255 the place does not fit; the contract's limit of 250 refuses that message.
    fn put(&mut self, fd: &'a impl AsFd) -> Fd {
        let place = u8::try_from(self.fds.len()).unwrap_or(u8::MAX);
        self.fds.push(fd.as_fd());
        Fd(place)
    }

    pub(crate) fn fds(&self) -> &[BorrowedFd<'a>] {
        &self.fds
    }
}

impl LaunchPlan {
    /// The message for this plan, with its descriptors.
    pub(crate) fn message<'a>(
        &'a self,
        kvm: &'a File,
        listeners: &'a Listeners,
        started_ns: u64,
    ) -> (Launch, Parcel<'a>) {
        let mut parcel = Parcel::default();
        let launch = Launch {
            version: VERSION,
            name: self.name.clone(),
            started_ns,
            identity: self.identity,
            lifetime: self.lifetime,
            processors: self.processors,
            memory_bytes: self.memory_bytes,
            command_line: self.command_line.clone(),
            kvm: parcel.put(kvm),
            kernel: parcel.put(&self.kernel),
            guest_image: self.guest_image.as_ref().map(|image| parcel.put(image)),
            control_listener: parcel.put(&listeners.control),
            vsock: Vsock {
                listener: parcel.put(&listeners.vsock),
                guest_cid: GUEST_CID,
            },
            console: self
                .console
                .as_ref()
                .map_or(Console::Off, |log| Console::Log(parcel.put(log))),
            disks: self
                .disks
                .iter()
                .map(|disk| disk.message_part(&mut parcel))
                .collect(),
            nics: self
                .nics
                .iter()
                .map(|nic| nic.message_part(&mut parcel))
                .collect(),
            vfio: self
                .vfio
                .as_ref()
                .map(|vfio| vfio.message_part(&mut parcel)),
            later_functions: self.room_for_later(),
        };
        (launch, parcel)
    }
}

impl LaunchPlan {
    /// What there is beside those from the start.
    fn room_for_later(&self) -> u8 {
        let now = self.vfio.as_ref().map_or(0, |vfio| vfio.functions.len());
        let room = limits::VFIO_FUNCTIONS.saturating_sub(now);
        self.later_functions
            .min(u8::try_from(room).unwrap_or(u8::MAX))
    }
}

impl DiskPlan {
    /// The message part for this disk; its descriptors go into the parcel.
    pub(crate) fn message_part<'a>(&'a self, parcel: &mut Parcel<'a>) -> Disk {
        let segments = self.segments.iter().map(|segment| Segment {
            fd: parcel.put(&segment.file),
            offset: segment.offset,
            length: segment.length,
        });
        let segments = segments.collect();
        Disk {
            id: self.id.clone(),
            segments,
            read_only: self.read_only,
        }
    }
}

impl BlockDevicePlan {
    /// The message part for this device; its descriptor goes into the parcel.
    pub(crate) fn message_part<'a>(&'a self, parcel: &mut Parcel<'a>) -> BlockDevice {
        BlockDevice {
            id: self.id.clone(),
            fd: parcel.put(&self.file),
            length: self.length,
            read_only: self.read_only,
            block_bytes: self.block_bytes,
            discard_bytes: self.discard_bytes,
            writes_zeroes: self.writes_zeroes,
        }
    }
}

impl NicPlan {
    /// The message part for this NIC; its descriptors go into the parcel.
    pub(crate) fn message_part<'a>(&'a self, parcel: &mut Parcel<'a>) -> Nic {
        let queues = self.queues.iter().map(|queue| NicQueue {
            tap: parcel.put(&queue.tap),
            vhost: queue.vhost.as_ref().map(|vhost| parcel.put(vhost)),
        });
        let queues = queues.collect();
        Nic {
            id: self.id.clone(),
            mac: self.mac,
            mtu: self.mtu,
            queues,
        }
    }

    /// Its descriptors, in the order of the message part.
    pub(crate) fn into_fds(self) -> Vec<OwnedFd> {
        let pairs = self.queues.into_iter();
        pairs
            .flat_map(|queue| [Some(queue.tap), queue.vhost].into_iter().flatten())
            .collect()
    }
}

impl VfioPlan {
    fn message_part<'a>(&'a self, parcel: &mut Parcel<'a>) -> Vfio {
        let domain = parcel.put(&self.domain);
        let nodes = self.nodes.iter().map(|node| parcel.put(node));
        let nodes = nodes.collect();
        let function = |(host_address, node): &(PciAddress, u8)| VfioFunction {
            host_address: *host_address,
            node: *node,
        };
        Vfio {
            access: match self.interface {
                VfioInterface::Type1 => VfioAccess::Type1 {
                    container: domain,
                    groups: nodes,
                },
                VfioInterface::Iommufd => VfioAccess::Iommufd {
                    iommufd: domain,
                    cdevs: nodes,
                },
            },
            functions: self.functions.iter().map(function).collect(),
        }
    }
}

impl FunctionPlan {
    /// The message part for this function; its descriptors go into the parcel.
    pub(crate) fn message_part<'a>(&'a self, parcel: &mut Parcel<'a>) -> HostFunction {
        HostFunction {
            host_address: self.host_address,
            container: parcel.put(&self.container),
            group: parcel.put(&self.group),
        }
    }
}

impl SharePlan {
    /// The message part for this share; its descriptor goes into the parcel.
    pub(crate) fn message_part<'a>(&'a self, parcel: &mut Parcel<'a>) -> Share {
        Share {
            tag: self.tag.clone(),
            socket: parcel.put(&self.socket),
        }
    }
}
