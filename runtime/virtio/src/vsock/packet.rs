//! Packets on the wire (virtio 1.3, section 5.10.6) and the one place where the guest's are checked. Main types: [`Header`],
//! [`Packet`]. Above: `muxer` takes packets, `connection` makes them.

#[cfg(test)]
mod tests;

use super::limits::BACKLOG_BYTES;

/// Bytes of `struct virtio_vsock_hdr`.
pub(super) const HEADER_BYTES: usize = 44;

/// The host's well-known context id.
pub(super) const HOST_CID: u64 = 2;

/// VIRTIO_VSOCK_TYPE_STREAM, the only type that we offer.
pub(super) const STREAM: u16 = 1;

/// A connection's two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) host: u32,
    pub(super) guest: u32,
}

/// What a packet is for: `enum virtio_vsock_op`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Op {
    Request = 1,
    Response = 2,
    Reset = 3,
    Shutdown = 4,
    Data = 5,
    CreditUpdate = 6,
    CreditRequest = 7,
}

/// Directions that a peer has closed: the flags of SHUTDOWN, from its sender's view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sides(u32);

/// The fields of a header, in host byte order, as they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) src_cid: u64,
    pub(super) dst_cid: u64,
    pub(super) src_port: u32,
    pub(super) dst_port: u32,
    pub(super) length: u32,
    pub(super) kind: u16,
    pub(super) op: u16,
    pub(super) flags: u32,
    pub(super) buf_alloc: u32,
    pub(super) fwd_cnt: u32,
}

/// A packet of the guest that can be worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) ports: Ports,
    pub(super) op: Op,
    /// Bytes behind the header; they are all there. Zero for every packet but DATA.
    pub(super) payload: usize,
    /// Meaningful for SHUTDOWN.
    pub(super) sides: Sides,
    pub(super) buf_alloc: u32,
    pub(super) fwd_cnt: u32,
}

/// A packet of the guest that can't be worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is nobody to answer, or it must not be answered (RST never is).
    Drop,
    /// Whoever sent it gets a RST of the packet's type (5.10.6.4).
    Reset { ports: Ports, kind: u16 },
}

impl Sides {
    pub(super) const NONE: Self = Self(0);
    /// VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE: the sender takes no more.
    pub(super) const RECEIVE: Self = Self(1);
    /// VIRTIO_VSOCK_SHUTDOWN_F_SEND: the sender sends no more.
    pub(super) const SEND: Self = Self(2);
    pub(super) const BOTH: Self = Self(3);

    pub(super) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

impl Op {
    fn from_wire(op: u16) -> Option<Self> {
        Some(match op {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reset,
            4 => Self::Shutdown,
            5 => Self::Data,
            6 => Self::CreditUpdate,
            7 => Self::CreditRequest,
            _ => return None,
        })
    }
}

impl Header {
    /// A packet from the host's `ports.host` to the guest.
    pub(super) fn to_guest(guest_cid: u64, ports: Ports, op: Op) -> Self {
        Self {
            src_cid: HOST_CID,
            dst_cid: guest_cid,
            src_port: ports.host,
            dst_port: ports.guest,
            kind: STREAM,
            op: op as u16,
            buf_alloc: BACKLOG_BYTES,
            ..Self::default()
        }
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let mut fields = Fields(bytes);
        Self {
            src_cid: u64::from_le_bytes(fields.next()),
            dst_cid: u64::from_le_bytes(fields.next()),
            src_port: u32::from_le_bytes(fields.next()),
            dst_port: u32::from_le_bytes(fields.next()),
            length: u32::from_le_bytes(fields.next()),
            kind: u16::from_le_bytes(fields.next()),
            op: u16::from_le_bytes(fields.next()),
            flags: u32::from_le_bytes(fields.next()),
            buf_alloc: u32::from_le_bytes(fields.next()),
            fwd_cnt: u32::from_le_bytes(fields.next()),
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.src_cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.dst_cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.src_port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.dst_port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.op.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.buf_alloc.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.fwd_cnt.to_le_bytes());
        bytes
    }

    /// Checks a header that the guest sent with `behind` bytes after it. Everything later trusts what this returns.
    ///
    /// # Errors
    /// What to do with a packet that is of no use.
    pub(super) fn check(&self, guest_cid: u64, behind: usize) -> Result<Packet, Refused> {
        // A forged sender, or a receiver that we are not: a switch would not have delivered it.
        if self.src_cid != guest_cid || self.dst_cid != HOST_CID {
            return Err(Refused::Drop);
        }
        let ports = Ports {
            host: self.dst_port,
            guest: self.src_port,
        };
        let op = Op::from_wire(self.op);
        let refused = match op {
            Some(Op::Reset) => Refused::Drop,
            _ => Refused::Reset {
                ports,
                kind: self.kind,
            },
        };
        let payload = usize::try_from(self.length).map_err(|_narrow| refused)?;
        let length_fits = match op {
            Some(Op::Data) => payload <= behind,
            // The others have no payload; RST works whatever it claims, for a peer must always be able to end.
            Some(Op::Reset) => true,
            _ => payload == 0,
        };
        match op {
            Some(op) if self.kind == STREAM && length_fits => Ok(Packet {
                ports,
                op,
                payload: if op == Op::Data { payload } else { 0 },
                sides: Sides(self.flags & Sides::BOTH.0),
                buf_alloc: self.buf_alloc,
                fwd_cnt: self.fwd_cnt,
            }),
            _ => Err(refused),
        }
    }
}

/// Takes a header apart from front to back.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            // The sizes in `decode` add up to HEADER_BYTES.
            None => [0; BYTES],
        }
    }
}
