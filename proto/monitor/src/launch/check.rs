//! The bounds of a launch message, of a disk and of a NIC. Main type: [`Invalid`].

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{
    Console, Disk, DiskId, Fd, Launch, Mac, Nic, NicId, PciAddress, Processors, Share, VERSION,
    Vfio, VfioAccess, limits,
};

/// What a message asks for that no machine can be.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Invalid {
    /// Launcher and monitor come from different builds.
    #[error(
        "the launch message has version {found}, this monitor speaks {VERSION}: install both from one build"
    )]
    Version {
        /// The message's.
        found: u32,
    },
    /// The name is empty or too long.
    #[error(
        "the machine's name has {length} bytes: 1 to {} are possible",
        limits::NAME_BYTES
    )]
    Name {
        /// Its length.
        length: usize,
    },
    /// The monitor would stay root.
    #[error("the monitor was told to run as user {uid}, group {gid}: neither may be 0")]
    Identity {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// Processor counts that make no sense.
    #[error(
        "{boot} of {max} processors at boot: 1 to {} are possible, and no more at boot than in all",
        limits::PROCESSORS
    )]
    Processors {
        /// At boot.
        boot: u8,
        /// In all.
        max: u8,
    },
    /// Too little, too much, or broken pages.
    #[error(
        "{bytes} bytes of memory: give a multiple of {} from {} MiB to {} MiB",
        limits::PAGE_BYTES, limits::LEAST_MEMORY_BYTES >> 20, limits::MOST_MEMORY_BYTES >> 20
    )]
    Memory {
        /// The size.
        bytes: u64,
    },
    /// Too long, or not plain text.
    #[error(
        "the addition to the kernel's command line is not printable ASCII of at most {} bytes",
        limits::COMMAND_LINE_BYTES
    )]
    CommandLine,
    /// 0 to 2 are reserved (virtio 1.3, section 5.10.4).
    #[error("the guest's vsock context id is {cid}: 3 is the least")]
    Cid {
        /// The id.
        cid: u32,
    },
    /// More disks than slots.
    #[error("{count} disks: {} are possible", limits::DISKS)]
    Disks {
        /// How many.
        count: usize,
    },
    /// Two disks that can't be told apart.
    #[error("two disks are called {id}")]
    DiskTwice {
        /// Their id.
        id: DiskId,
    },
    /// A disk of no or too many parts.
    #[error(
        "disk {id} has {count} segments: 1 to {} are possible",
        limits::DISK_SEGMENTS
    )]
    Segments {
        /// Its id.
        id: DiskId,
        /// How many.
        count: usize,
    },
    /// An extent that does not lie on blocks, is empty, or whose end can't be told.
    #[error(
        "segment {index} of disk {id} does not begin or end at multiples of {} bytes above 0",
        limits::SEGMENT_BYTES
    )]
    Segment {
        /// The disk's id.
        id: DiskId,
        /// Place of the segment in the disk.
        index: usize,
    },
    /// A block device that can be no disk.
    #[error("block device {id} is refused: {rule}")]
    BlockDevice {
        /// Its disk's id.
        id: DiskId,
        /// What has to hold.
        rule: &'static str,
    },
    /// More NICs than a machine can have.
    #[error("{count} NICs: {} are possible", limits::NICS)]
    Nics {
        /// How many.
        count: usize,
    },
    /// Two NICs that can't be told apart.
    #[error("two NICs are called {id}")]
    NicTwice {
        /// Their id.
        id: NicId,
    },
    /// Two NICs that the guest can't tell apart.
    #[error("NIC {id} has the MAC address {mac}, which another one has already")]
    MacTwice {
        /// The second one's id.
        id: NicId,
        /// Their address.
        mac: Mac,
    },
    /// A packet size that no link of ours has.
    #[error(
        "NIC {id} has an MTU of {mtu} bytes: {} is the least",
        limits::LEAST_MTU
    )]
    Mtu {
        /// Its id.
        id: NicId,
        /// The size.
        mtu: u16,
    },
    /// A NIC of no or too many queues.
    #[error(
        "NIC {id} has {count} pairs of queues: 1 to {} are possible",
        limits::NIC_QUEUES
    )]
    NicQueues {
        /// Its id.
        id: NicId,
        /// How many.
        count: usize,
    },
    /// The kernel would move some of its frames, and the monitor others.
    #[error(
        "NIC {id} has a vhost descriptor for some pairs of queues only: give one for each, or none"
    )]
    NicVhost {
        /// Its id.
        id: NicId,
    },
    /// None, or more than a machine can have.
    #[error(
        "{count} functions of the host: 1 to {} are possible",
        limits::VFIO_FUNCTIONS
    )]
    VfioFunctions {
        /// How many.
        count: usize,
    },
    /// The guest would have it twice.
    #[error("function {address} of the host is named twice")]
    VfioTwice {
        /// Where it is on the host.
        address: PciAddress,
    },
    /// A function of no group or without its cdev, or a group or a cdev of no function.
    #[error(
        "the VFIO descriptors and functions do not fit together: each function needs its group or a cdev of its own, and each of those a function"
    )]
    VfioNodes,
    /// The message names a descriptor that did not come with it.
    #[error("the message names descriptor {slot}, and {count} came with it")]
    FdMissing {
        /// Its place.
        slot: u8,
        /// How many came.
        count: usize,
    },
    /// The message names a descriptor for two purposes.
    #[error("the message names descriptor {slot} twice")]
    FdTwice {
        /// Its place.
        slot: u8,
    },
    /// A descriptor came that the message doesn't name.
    #[error("descriptor {slot} came with the message and is not named in it")]
    FdUnused {
        /// Its place.
        slot: usize,
    },
}

impl Launch {
    /// Checks every bound of the message, which came with `fds` descriptors.
    ///
    /// # Errors
    /// The first thing found that no machine can be.
    pub fn check(&self, fds: usize) -> Result<(), Invalid> {
        check_values(self)?;
        if self.disks.len() > limits::DISKS {
            return Err(Invalid::Disks {
                count: self.disks.len(),
            });
        }
        let mut ids = BTreeSet::new();
        for disk in &self.disks {
            check_segments(disk)?;
            if !ids.insert(&disk.id) {
                return Err(Invalid::DiskTwice {
                    id: disk.id.clone(),
                });
            }
        }
        check_nics(&self.nics)?;
        self.vfio.as_ref().map_or(Ok(()), check_vfio)?;
        let now = self.vfio.as_ref().map_or(0, |vfio| vfio.functions.len());
        let count = now + usize::from(self.later_functions);
        if count > limits::VFIO_FUNCTIONS {
            return Err(Invalid::VfioFunctions { count });
        }
        check_fds(&self.fds(), fds)
    }

    fn fds(&self) -> Vec<Fd> {
        let mut named = vec![
            self.kvm,
            self.kernel,
            self.control_listener,
            self.vsock.listener,
        ];
        named.extend(self.guest_image);
        if let Console::Log(fd) = self.console {
            named.push(fd);
        }
        named.extend(self.disks.iter().flat_map(Disk::fds));
        named.extend(self.nics.iter().flat_map(Nic::fds));
        if let Some(vfio) = &self.vfio {
            named.push(vfio.access.domain());
            named.extend(vfio.access.nodes());
        }
        named
    }
}

impl Disk {
    /// Checks the bounds of a disk whose request came with `fds` descriptors.
    ///
    /// # Errors
    /// The first thing found that no disk can be.
    pub fn check(&self, fds: usize) -> Result<(), Invalid> {
        check_segments(self)?;
        check_fds(&self.fds(), fds)
    }

    /// The descriptors of its segments, each once.
    fn fds(&self) -> Vec<Fd> {
        let distinct: BTreeSet<Fd> = self.segments.iter().map(|segment| segment.fd).collect();
        distinct.into_iter().collect()
    }
}

impl Nic {
    /// Checks the bounds of a NIC whose request came with `fds` descriptors.
    ///
    /// # Errors
    /// The first thing found that no NIC can be.
    pub fn check(&self, fds: usize) -> Result<(), Invalid> {
        check_nic(self)?;
        check_fds(&self.fds().collect::<Vec<_>>(), fds)
    }

    fn fds(&self) -> impl Iterator<Item = Fd> {
        let pairs = self.queues.iter();
        pairs.flat_map(|queue| [Some(queue.tap), queue.vhost].into_iter().flatten())
    }
}

impl Share {
    /// Checks that the descriptor of a share came, of `fds` that did.
    ///
    /// # Errors
    /// When it did not, or others came too.
    pub fn check(&self, fds: usize) -> Result<(), Invalid> {
        check_fds(&[self.socket], fds)
    }
}

fn check_values(launch: &Launch) -> Result<(), Invalid> {
    if launch.version != VERSION {
        return Err(Invalid::Version {
            found: launch.version,
        });
    }
    if !(1..=limits::NAME_BYTES).contains(&launch.name.len()) {
        return Err(Invalid::Name {
            length: launch.name.len(),
        });
    }
    if launch.identity.uid == 0 || launch.identity.gid == 0 {
        return Err(Invalid::Identity {
            uid: launch.identity.uid,
            gid: launch.identity.gid,
        });
    }
    let Processors { boot, max } = launch.processors;
    if boot == 0 || boot > max || max > limits::PROCESSORS {
        return Err(Invalid::Processors { boot, max });
    }
    let bytes = launch.memory_bytes;
    let sizes = limits::LEAST_MEMORY_BYTES..=limits::MOST_MEMORY_BYTES;
    if !sizes.contains(&bytes) || !bytes.is_multiple_of(limits::PAGE_BYTES) {
        return Err(Invalid::Memory { bytes });
    }
    let words = &launch.command_line;
    let plain = words
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if words.len() > limits::COMMAND_LINE_BYTES || !plain {
        return Err(Invalid::CommandLine);
    }
    if launch.vsock.guest_cid < 3 || launch.vsock.guest_cid == u32::MAX {
        return Err(Invalid::Cid {
            cid: launch.vsock.guest_cid,
        });
    }
    Ok(())
}

fn check_segments(disk: &Disk) -> Result<(), Invalid> {
    if !(1..=limits::DISK_SEGMENTS).contains(&disk.segments.len()) {
        return Err(Invalid::Segments {
            id: disk.id.clone(),
            count: disk.segments.len(),
        });
    }
    let mut total: u64 = 0;
    for (index, segment) in disk.segments.iter().enumerate() {
        let whole = segment.offset.is_multiple_of(limits::SEGMENT_BYTES)
            && segment.length.is_multiple_of(limits::SEGMENT_BYTES)
            && segment.length > 0;
        let end = segment.offset.checked_add(segment.length);
        let sum = total.checked_add(segment.length);
        let countable = |bytes: Option<u64>| bytes.filter(|bytes| i64::try_from(*bytes).is_ok());
        match (whole, countable(end), countable(sum)) {
            (true, Some(_), Some(sum)) => total = sum,
            _ => {
                return Err(Invalid::Segment {
                    id: disk.id.clone(),
                    index,
                });
            }
        }
    }
    Ok(())
}

fn check_nics(nics: &[Nic]) -> Result<(), Invalid> {
    if nics.len() > limits::NICS {
        return Err(Invalid::Nics { count: nics.len() });
    }
    let (mut ids, mut macs) = (BTreeSet::new(), BTreeSet::new());
    for nic in nics {
        check_nic(nic)?;
        let (id, mac) = (nic.id.clone(), nic.mac);
        if !ids.insert(&nic.id) {
            return Err(Invalid::NicTwice { id });
        }
        if !macs.insert(mac) {
            return Err(Invalid::MacTwice { id, mac });
        }
    }
    Ok(())
}

fn check_nic(nic: &Nic) -> Result<(), Invalid> {
    let id = || nic.id.clone();
    let count = nic.queues.len();
    if !(1..=limits::NIC_QUEUES).contains(&count) {
        return Err(Invalid::NicQueues { id: id(), count });
    }
    if nic.mtu < limits::LEAST_MTU {
        return Err(Invalid::Mtu {
            id: id(),
            mtu: nic.mtu,
        });
    }
    let with_vhost = nic.queues.iter().filter(|queue| queue.vhost.is_some());
    if ![0, count].contains(&with_vhost.count()) {
        return Err(Invalid::NicVhost { id: id() });
    }
    Ok(())
}

fn check_vfio(vfio: &Vfio) -> Result<(), Invalid> {
    let count = vfio.functions.len();
    if !(1..=limits::VFIO_FUNCTIONS).contains(&count) {
        return Err(Invalid::VfioFunctions { count });
    }
    let mut addresses = BTreeSet::new();
    for function in &vfio.functions {
        let address = function.host_address;
        if !addresses.insert(address) {
            return Err(Invalid::VfioTwice { address });
        }
    }
    let nodes = vfio.functions.iter().map(|function| function.node);
    let used: BTreeSet<usize> = nodes.map(usize::from).collect();
    let nodes = vfio.access.nodes().len();
    let shared = matches!(vfio.access, VfioAccess::Type1 { .. });
    if used.into_iter().eq(0..nodes) && (shared || nodes == count) {
        Ok(())
    } else {
        Err(Invalid::VfioNodes)
    }
}

/// Every named descriptor came, and every one that came is named once.
pub(crate) fn check_fds(named: &[Fd], count: usize) -> Result<(), Invalid> {
    let mut seen = BTreeSet::new();
    for Fd(slot) in named {
        if usize::from(*slot) >= count {
            return Err(Invalid::FdMissing { slot: *slot, count });
        }
        if !seen.insert(usize::from(*slot)) {
            return Err(Invalid::FdTwice { slot: *slot });
        }
    }
    match (0..count).find(|slot| !seen.contains(slot)) {
        Some(slot) => Err(Invalid::FdUnused { slot }),
        None => Ok(()),
    }
}
