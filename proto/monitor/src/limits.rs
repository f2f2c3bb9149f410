//! Sizes that both sides hold to. A message that breaks one is refused before anything is allocated for it.

/// Largest message, as bytes of JSON. It bounds the receive buffer; a console tail in its worst escaping fits in.
pub const MESSAGE_BYTES: usize = 64 << 10;

/// Most descriptors in one message. The kernel's own limit is 253 (SCM_MAX_FD in include/net/scm.h).
pub const MESSAGE_FDS: usize = 250;

/// Most processors of one machine.
pub const PROCESSORS: u8 = 64;

/// Least memory that our guest kernel and agent start in.
pub const LEAST_MEMORY_BYTES: u64 = 32 << 20;

/// Most memory of one machine, 768 GiB: what processors with 40 address bits reach, less the windows for devices.
pub const MOST_MEMORY_BYTES: u64 = 768 << 30;

/// Granularity of memory sizes: a page.
pub const PAGE_BYTES: u64 = 4096;

/// Most disks of one machine at a time; the bus has no more slots than these, the NICs and the fixed devices need.
pub const DISKS: usize = 24;

/// Most NICs of one machine at a time. A pod has one; the others are for plugins like Multus that give it more.
pub const NICS: usize = 4;

/// Most pairs of queues of one NIC: more than processors of one pod usually have, and 18 interrupt vectors.
pub const NIC_QUEUES: usize = 8;

/// Least MTU of a NIC in bytes: what every IPv4 link carries (RFC 791), and Linux's ETH_MIN_MTU.
pub const LEAST_MTU: u16 = 68;

/// Longest id of a NIC, in bytes: as long as an interface's name on Linux (IFNAMSIZ, less the final zero).
pub const NIC_ID_BYTES: usize = 15;

/// Most shares of one machine at a time: a pod's one server serves all its folders.
pub const SHARES: usize = 1;

/// Longest tag of a share, in bytes (virtio 1.3, section 5.11.4).
pub const SHARE_TAG_BYTES: usize = 36;

/// Most functions of the host that one machine is given: as many as eight GPUs with their NVSwitches and bridges, or with an audio function
/// each. They are on the bus with everything else, so each takes the slot of a disk.
pub const VFIO_FUNCTIONS: usize = 16;

/// Most extents of one disk.
pub const DISK_SEGMENTS: usize = 200;

/// What a segment's place and length are multiples of: EROFS's block, and the page.
pub const SEGMENT_BYTES: u64 = 4096;

/// Bytes of a block device's logical block.
pub const BLOCK_BYTES: std::ops::RangeInclusive<u64> = 512..=4096;

/// Longest addition to the kernel's command line, in bytes. The whole line has 2048 (COMMAND_LINE_SIZE on x86).
pub const COMMAND_LINE_BYTES: usize = 1024;

/// Longest name of a machine, in bytes.
pub const NAME_BYTES: usize = 128;

/// Longest id of a disk, in bytes: virtio's device id string (virtio 1.3, section 5.2.6.1).
pub const DISK_ID_BYTES: usize = 20;

/// Most of the console's last output that an ending carries, in bytes.
pub const CONSOLE_TAIL_BYTES: usize = 8 << 10;

/// Longest text of an ending or a refusal, in bytes.
pub const TEXT_BYTES: usize = 4 << 10;

/// Most connections to one control socket at a time.
pub const CONTROL_CONNECTIONS: usize = 8;
