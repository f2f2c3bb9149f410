//! Which features a network device offers, and what the driver's choice means (virtio 1.3, sections 5.1.3 and 5.1.3.1). Pure but for
//! [`Segmentation::of`], which asks the tap. Above: [`Nic`](super::Nic).
//!
//! "Host" features are about frames that the guest sends: the tap takes unfinished ones from anybody. "Guest" features are about frames
//! that the guest gets: the tap is told which unfinished ones the driver takes, and finishes all others itself.

#[cfg(test)]
mod tests;

use std::io;

use libc::{TUN_F_CSUM, TUN_F_TSO_ECN, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6, c_uint};
use virtio_bindings::{
    virtio_config::VIRTIO_F_VERSION_1,
    virtio_net::{
        VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_ECN,
        VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_USO4,
        VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4,
        VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_MAC, VIRTIO_NET_F_MQ,
        VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MTU, VIRTIO_NET_F_STATUS,
    },
    virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC},
};

/// Always offered. TSO needs CSUM in either direction, ECN needs TSO.
const ALWAYS: [u32; 13] = [
    VIRTIO_NET_F_MAC,
    VIRTIO_NET_F_MTU,
    VIRTIO_NET_F_STATUS,
    VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_F_CSUM,
    VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6,
    VIRTIO_NET_F_HOST_ECN,
    VIRTIO_NET_F_GUEST_CSUM,
    VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_GUEST_ECN,
    VIRTIO_F_VERSION_1,
];

/// Offered where the tap splits UDP.
const WITH_UDP: [u32; 3] = [
    VIRTIO_NET_F_HOST_USO,
    VIRTIO_NET_F_GUEST_USO4,
    VIRTIO_NET_F_GUEST_USO6,
];

/// Offered for several pairs; MQ needs the control queue.
const WITH_PAIRS: [u32; 2] = [VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_MQ];

/// What vhost works with on the rings; it gets the chosen ones of these. The rest is between driver and tap.
const OF_RINGS: [u32; 4] = [
    VIRTIO_F_VERSION_1,
    VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_RING_F_INDIRECT_DESC,
    VIRTIO_RING_F_EVENT_IDX,
];

/// TUN_F_* of Linux since 2.6.27.
const TCP_OFFLOADS: c_uint = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
/// Since 6.2, both or none.
const UDP_OFFLOADS: c_uint = TUN_F_USO4 | TUN_F_USO6;

/// What the tap's kernel can leave to its reader, and take from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segmentation {
    /// Large TCP segments.
    Tcp,
    /// Large TCP segments and trains of UDP datagrams.
    TcpAndUdp,
}

impl Segmentation {
    /// Tries it out, and leaves the tap with a reader that takes finished frames only.
    pub(super) fn of(set_offloads: impl Fn(c_uint) -> io::Result<()>) -> io::Result<Self> {
        let found = match set_offloads(TCP_OFFLOADS | UDP_OFFLOADS) {
            Ok(()) => Self::TcpAndUdp,
            Err(_unknown) => set_offloads(TCP_OFFLOADS).map(|()| Self::Tcp)?,
        };
        set_offloads(0)?;
        Ok(found)
    }
}

/// What a device of so many pairs offers.
pub(super) fn offered(pairs: usize, segmentation: Segmentation) -> u64 {
    let with_udp: &[u32] = match segmentation {
        Segmentation::Tcp => &[],
        Segmentation::TcpAndUdp => &WITH_UDP,
    };
    let with_pairs: &[u32] = if pairs > 1 { &WITH_PAIRS } else { &[] };
    mask(&ALWAYS) | mask(with_udp) | mask(with_pairs)
}

/// What the tap is told: exactly the unfinished frames that the driver takes. What lacks the feature that it needs does not count.
pub(super) fn offloads(chosen: u64) -> c_uint {
    if !has(chosen, VIRTIO_NET_F_GUEST_CSUM) {
        return 0;
    }
    let mut offloads = TUN_F_CSUM;
    for (feature, offload) in [
        (VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4),
        (VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6),
    ] {
        if has(chosen, feature) {
            offloads |= offload;
        }
    }
    if offloads != TUN_F_CSUM && has(chosen, VIRTIO_NET_F_GUEST_ECN) {
        offloads |= TUN_F_TSO_ECN;
    }
    if has(chosen, VIRTIO_NET_F_GUEST_USO4) && has(chosen, VIRTIO_NET_F_GUEST_USO6) {
        offloads |= UDP_OFFLOADS;
    }
    offloads
}

/// Does the driver get frames longer than the MTU?
pub(super) fn takes_segments(chosen: u64) -> bool {
    offloads(chosen) & !TUN_F_CSUM != 0
}

/// May a frame lie in several buffers?
pub(super) fn merges_buffers(chosen: u64) -> bool {
    has(chosen, VIRTIO_NET_F_MRG_RXBUF)
}

/// Is there a control queue?
pub(super) fn has_control(chosen: u64) -> bool {
    has(chosen, VIRTIO_NET_F_CTRL_VQ)
}

/// Does the driver know of all pairs, and where the control queue then is?
pub(super) fn has_many_pairs(chosen: u64) -> bool {
    has(chosen, VIRTIO_NET_F_MQ)
}

/// Knows vhost all that is offered of the rings?
pub(super) fn kernel_suffices(known: u64) -> bool {
    known & mask(&OF_RINGS) == mask(&OF_RINGS)
}

/// What vhost is told. Not VHOST_NET_F_VIRTIO_NET_HDR: the header is the tap's to make and to read.
pub(super) fn for_kernel(chosen: u64) -> u64 {
    chosen & mask(&OF_RINGS)
}

fn mask(bits: &[u32]) -> u64 {
    bits.iter().fold(0, |mask, bit| mask | 1 << bit)
}

fn has(chosen: u64, bit: u32) -> bool {
    chosen >> bit & 1 == 1
}
