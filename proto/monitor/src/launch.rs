//! The one message that a monitor is born with. Main type: [`Launch`]. [`Launch::check`] is where its bounds are checked;
//! the monitor does it before it acquires anything.

mod check;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{DiskId, Mac, NicId, PciAddress, ShareTag};

pub use check::Invalid;
pub(crate) use check::check_fds;

/// A descriptor of the same message, by its place there. Each place has exactly one purpose; only segments of one disk may
/// share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fd(pub u8);

/// A whole machine: plain values, and open descriptors for everything that has a path on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// [`VERSION`](crate::VERSION).
    pub version: u32,
    /// What the launcher calls the machine; for people only.
    pub name: String,
    /// CLOCK_MONOTONIC in nanoseconds just before the monitor's exec: where its timings count from.
    pub started_ns: u64,
    /// Who the monitor becomes on the host.
    pub identity: Identity,
    /// When the monitor ends by itself.
    pub lifetime: Lifetime,
    /// How many processors.
    pub processors: Processors,
    /// Memory, a multiple of the page size.
    pub memory_bytes: u64,
    /// Words for the kernel's command line, after the monitor's own.
    #[serde(default)]
    pub command_line: String,
    /// /dev/kvm.
    pub kvm: Fd,
    /// The guest's kernel: an uncompressed x86-64 vmlinux with a PVH entry.
    pub kernel: Fd,
    /// The guest's root, a cpio archive; without one the kernel has to bring its own.
    pub guest_image: Option<Fd>,
    /// A listening SOCK_SEQPACKET socket for [`Request`](crate::Request)s.
    pub control_listener: Fd,
    /// The socket device.
    pub vsock: Vsock,
    /// Where the console goes.
    pub console: Console,
    /// Disks that are there from the start.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// NICs that are there from the start.
    #[serde(default)]
    pub nics: Vec<Nic>,
    /// Functions of the host that the guest is given by VFIO. Then all of its memory is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vfio: Option<Vfio>,
    /// How many functions of the host it may be given at a time while it runs, beside those. The machine's limits and filters allow for them.
    #[serde(default, skip_serializing_if = "is_none")]
    pub later_functions: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_none(count: &u8) -> bool {
    *count == 0
}

/// An unprivileged user and group, used by nothing else than monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// User id on the host, not 0.
    pub uid: u32,
    /// Group id on the host, not 0.
    pub gid: u32,
}

/// When a monitor ends by itself, beside its guest's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// With the other end of the launch socket: for a command in a terminal.
    WithLauncher,
    /// Only when it is told to: for a daemon, which may be restarted.
    UntilStopped,
}

/// Processors of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Processors {
    /// How many the kernel brings online by itself.
    pub boot: u8,
    /// How many there are in all; the rest waits for the agent.
    pub max: u8,
}

/// The socket device, whose host side is a unix socket: a client connects, writes `CONNECT <port>\n` and reads `OK <port>\n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vsock {
    /// A listening SOCK_STREAM socket.
    pub listener: Fd,
    /// The guest's context id, 3 or more.
    pub guest_cid: u32,
}

/// Where the guest's console goes. Its last output is kept for the ending in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Console {
    /// Nowhere: the kernel says nothing unless it panics.
    Off,
    /// Everything is written to this descriptor.
    Log(Fd),
}

/// A disk: the bytes of its segments, one after the other. Always raw; no content is looked at to learn a format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// What the guest sees as its serial number; no two disks of a machine share it.
    pub id: DiskId,
    /// Its content in order.
    pub segments: Vec<Segment>,
    /// Whether the guest may not write. A disk that it may write to has one segment.
    pub read_only: bool,
}

/// An extent of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// The file, open for reading, and for writing too unless the disk is read-only.
    pub fd: Fd,
    /// First byte of the extent, a multiple of
    /// [`SEGMENT_BYTES`](crate::limits::SEGMENT_BYTES).
    pub offset: u64,
    /// Length in bytes, a multiple of
    /// [`SEGMENT_BYTES`](crate::limits::SEGMENT_BYTES) and not 0.
    pub length: u64,
}

/// A network device in front of a tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// What the launcher calls it; the guest does not see it. No two NICs of a machine share it.
    pub id: NicId,
    /// By which the guest knows it. No two NICs of a machine share it.
    pub mac: Mac,
    /// Largest packet in bytes, at least [`LEAST_MTU`](crate::limits::LEAST_MTU).
    pub mtu: u16,
    /// Its pairs of a receive and a transmit queue, one tap descriptor each.
    pub queues: Vec<NicQueue>,
}

/// The host's side of one pair of queues. All pairs of a NIC have a vhost descriptor, or none has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicQueue {
    /// A queue of the NIC's tap: /dev/net/tun after TUNSETIFF with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR (with
    /// IFF_MULTI_QUEUE where there are several) and TUNSETVNETHDRSZ of 12 bytes.
    pub tap: Fd,
    /// /dev/vhost-net, freshly opened.
    #[serde(default)]
    pub vhost: Option<Fd>,
}

/// A file system device in front of a share server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// By which the guest mounts it. No two shares of a machine have the same.
    pub tag: ShareTag,
    /// A SOCK_SEQPACKET socket, a packet for each message of FUSE. Its other end is the server's.
    pub socket: Fd,
}

/// Functions of the host that the guest is given by VFIO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vfio {
    /// The way to them.
    pub access: VfioAccess,
    /// In the order in which the guest has them; 1 to [`VFIO_FUNCTIONS`](crate::limits::VFIO_FUNCTIONS).
    pub functions: Vec<VfioFunction>,
}

/// One of the kernel's two interfaces, with its descriptors. All are freshly opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VfioAccess {
    /// VFIO's own container and groups.
    Type1 {
        /// /dev/vfio/vfio.
        container: Fd,
        /// /dev/vfio/GROUP of each IOMMU group.
        groups: Vec<Fd>,
    },
    /// iommufd, Linux 6.6 and newer.
    Iommufd {
        /// /dev/iommu.
        iommufd: Fd,
        /// /dev/vfio/devices/vfioN of each function.
        cdevs: Vec<Fd>,
    },
}

impl VfioAccess {
    /// The descriptor that is for all functions.
    #[must_use]
    pub fn domain(&self) -> Fd {
        match self {
            Self::Type1 { container, .. } => *container,
            Self::Iommufd { iommufd, .. } => *iommufd,
        }
    }

    /// Those of groups or of functions.
    #[must_use]
    pub fn nodes(&self) -> &[Fd] {
        match self {
            Self::Type1 { groups, .. } => groups,
            Self::Iommufd { cdevs, .. } => cdevs,
        }
    }
}

/// One function of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VfioFunction {
    /// Where it is on the host. No two of a machine are the same.
    pub host_address: PciAddress,
    /// Its group, or its own cdev: a place in [`VfioAccess::nodes`].
    pub node: u8,
}
