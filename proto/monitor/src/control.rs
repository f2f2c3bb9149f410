//! What is said to a running monitor, and what it answers. Main types: [`Request`] and [`Reply`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    BlockDevice, Disk, DiskId, Ending, Fd, HostFunction, Mac, Nic, NicId, PciAddress, Share,
    ShareTag,
};

/// One thing asked of a running monitor over its control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How is it? Answered by [`Reply::Status`].
    Status,
    /// Put a disk on the bus; its descriptors come with the message. Answered by [`Reply::Added`]; the guest sees the disk
    /// after a rescan of the bus.
    AddDisk(Disk),
    /// Put a block device of the host on the bus as a disk; its descriptor comes with the message. Answered like
    /// [`Request::AddDisk`]. A monitor from before there were any refuses it as unknown.
    AddBlockDevice(BlockDevice),
    /// A block device that is on the bus may have grown: look, and tell the guest. Answered by [`Reply::Length`], and refused where the device
    /// has become smaller. A monitor from before there was this refuses it as unknown.
    GrowBlockDevice {
        /// The disk's.
        id: DiskId,
    },
    /// Put a NIC on the bus; its taps come with the message. Answered by [`Reply::Added`]; the guest sees the NIC after a
    /// rescan of the bus, and knows it by its MAC address.
    AddNic(Nic),
    /// Put a share on the bus; the socket to its server comes with the message. Answered by [`Reply::Added`]; the guest sees the
    /// share after a rescan of the bus, and mounts it by its tag.
    AddShare(Share),
    /// Put a function of the host on the bus; its descriptors come with the message. All of the guest's memory is pinned for it, so the answer
    /// takes a while. Answered by [`Reply::Added`]; the guest sees the function after a rescan of the bus. A monitor from before there was
    /// this refuses it as unknown.
    AddFunction(HostFunction),
    /// Take a disk, a NIC, a share or a function of the host off the bus, after the guest has let go of it. Answered by [`Reply::Removed`] when the monitor has
    /// closed the device's files.
    RemoveDevice {
        /// The address that [`Reply::Added`] gave.
        pci_address: PciAddress,
    },
    /// End the machine now, as pulling the plug would. Answered by [`Reply::Ended`].
    Stop,
}

/// What a monitor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The machine is assembled, the jail is shut, the processors run.
    Running(Running),
    /// The answer to [`Request::Status`].
    Status(Status),
    /// The disk, NIC, share or function is on the bus.
    Added {
        /// Where.
        pci_address: PciAddress,
    },
    /// The device is off the bus.
    Removed,
    /// The answer to [`Request::GrowBlockDevice`].
    Length {
        /// Bytes that the guest has of it, from now on.
        bytes: u64,
    },
    /// What was asked was not done, and nothing changed. On the launch socket: there will be no machine.
    Refused {
        /// Why, for people, with what to do; at most [`limits::TEXT_BYTES`](crate::limits::TEXT_BYTES).
        reason: String,
    },
    /// The machine is over; the socket closes after this.
    Ended(Ending),
}

/// How long the start took. Times are microseconds since [`Launch::started_ns`](crate::Launch::started_ns).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The launch message was read.
    pub message_us: u64,
    /// Namespaces, root, identity, capabilities and limits were in place.
    pub jailed_us: u64,
    /// Memory, kernel and devices were in place.
    pub assembled_us: u64,
    /// Every thread had its system call filter and the processors were let go.
    pub running_us: u64,
}

/// What a running monitor knows about its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The contract's version as the monitor knows it.
    pub version: u32,
    /// The machine's name from its launch.
    pub name: String,
    /// A descriptor that stands for the monitor's process (pidfd), with which it can be waited for and killed.
    pub pidfd: Fd,
    /// Microseconds since the processors were let go.
    pub uptime_us: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Processors that are there, online or not.
    pub processors: u8,
    /// The disks that are on the bus.
    pub disks: BTreeMap<DiskId, PciAddress>,
    /// The NICs that are on the bus. A monitor from before there were NICs says nothing.
    #[serde(default)]
    pub nics: BTreeMap<NicId, NicStatus>,
    /// The shares that are on the bus. A monitor from before there were shares says nothing.
    #[serde(default)]
    pub shares: BTreeMap<ShareTag, ShareStatus>,
    /// Functions of the host that the guest has: where each is on the host, and where the guest sees it. A monitor from before there were
    /// any says nothing.
    #[serde(default)]
    pub vfio: BTreeMap<PciAddress, PciAddress>,
    /// Those of them that it was given while it ran, by where they are on the host. A monitor from before that could be says nothing.
    #[serde(default)]
    pub later_functions: BTreeSet<PciAddress>,
    /// How often processors left the guest for the monitor, by kind.
    #[serde(default)]
    pub exits: BTreeMap<String, u64>,
}

/// A NIC that is on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicStatus {
    /// Where.
    pub pci_address: PciAddress,
    /// Its address on the link.
    pub mac: Mac,
    /// Who moves its frames.
    pub datapath: Datapath,
}

/// A share that is on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareStatus {
    /// Where.
    pub pci_address: PciAddress,
    /// Whether its server is there.
    pub server: ShareServer,
}

/// The other end of a share's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareServer {
    /// It is there.
    Up,
    /// It has ended, or was cut off because it broke the rules. What the guest asks of the share fails.
    Gone,
    /// A state that only a newer monitor knows.
    #[serde(other)]
    Unknown,
}

/// Who moves a NIC's frames between its queues and its taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Datapath {
    /// The host's kernel (vhost-net).
    Vhost,
    /// A thread of the monitor: no vhost descriptors came, or the host's kernel did not take them.
    UserSpace,
    /// One that only a newer monitor knows.
    #[serde(other)]
    Unknown,
}
