//! What a disk's request asks for (virtio 1.3, section 5.2.6): decided from its header and its buffers' lengths alone, nothing is
//! touched. Main type: [`Request`]. Above: `serve` does it.

#[cfg(test)]
mod tests;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK,
    VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
    VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
    VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};

use super::{Access, IDENTITY_BYTES, SECTOR_BYTES};
use crate::limits;

/// Bytes of a request's header: type, reserved, sector.
pub(super) const HEADER_BYTES: usize = 16;

/// Bytes of a range in a discard or write-zeroes request: sector, count, flags.
pub(super) const RANGE_BYTES: usize = 16;

/// A request that can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// Fill the writable part, but its last byte, from the disk.
    Read { start: u64, length: usize },
    /// Put the readable part after the header on the disk.
    Write { start: u64, length: usize },
    /// What was written must survive a loss of power.
    Flush,
    /// Say who the disk is.
    Identify,
    /// The content of these ranges is not needed any more.
    Discard { ranges: usize },
    /// These ranges shall read as zeroes.
    WriteZeroes { ranges: usize },
}

/// The last byte of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    IoError,
    Unsupported,
}

/// How a range is to be cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clearing {
    /// Its content is not needed; its storage is given back.
    Discard,
    /// It reads as zeroes, and its storage is given back where that can be.
    Hole,
    /// It reads as zeroes and keeps its storage.
    Zeroes,
}

/// Lengths of the two parts of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) readable: usize,
    pub(super) writable: usize,
}

impl Status {
    pub(super) fn byte(self) -> u8 {
        let value = match self {
            Self::Ok => VIRTIO_BLK_S_OK,
            Self::IoError => VIRTIO_BLK_S_IOERR,
            Self::Unsupported => VIRTIO_BLK_S_UNSUPP,
        };
        value.to_le_bytes()[0]
    }
}

/// Decides what is asked for, or the status that refuses it.
pub(super) fn decide(
    header: [u8; HEADER_BYTES],
    shape: Shape,
    access: Access,
    features: u64,
) -> Result<Request, Status> {
    let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = header;
    let start = u64::from_le_bytes(sector).checked_mul(SECTOR_BYTES);
    let offered = |bit: u32| features & 1 << bit != 0;
    match u32::from_le_bytes([t0, t1, t2, t3]) {
        VIRTIO_BLK_T_IN => {
            let length = answer(shape)?;
            let start = start.ok_or(Status::IoError)?;
            in_sectors(length).map(|()| Request::Read { start, length })
        }
        VIRTIO_BLK_T_OUT => {
            let length = sent(shape, access)?;
            let start = start.ok_or(Status::IoError)?;
            in_sectors(length).map(|()| Request::Write { start, length })
        }
        VIRTIO_BLK_T_FLUSH => Ok(Request::Flush),
        VIRTIO_BLK_T_GET_ID => match answer(shape)? {
            IDENTITY_BYTES.. => Ok(Request::Identify),
            _ => Err(Status::IoError),
        },
        VIRTIO_BLK_T_DISCARD if offered(VIRTIO_BLK_F_DISCARD) => {
            let ranges = ranges(shape, access)?;
            Ok(Request::Discard { ranges })
        }
        VIRTIO_BLK_T_WRITE_ZEROES if offered(VIRTIO_BLK_F_WRITE_ZEROES) => {
            let ranges = ranges(shape, access)?;
            Ok(Request::WriteZeroes { ranges })
        }
        _ => Err(Status::Unsupported),
    }
}

/// Decides what a range of a discard (`unmap` is not for it) or write-zeroes request means: where, how long, and how to clear.
pub(super) fn range(
    request: Request,
    range: [u8; RANGE_BYTES],
) -> Result<(u64, u64, Clearing), Status> {
    let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, flags @ ..] = range;
    let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    let sectors = u32::from_le_bytes([n0, n1, n2, n3]);
    let clearing = match (request, u32::from_le_bytes(flags)) {
        (Request::Discard { .. }, 0) => Clearing::Discard,
        (Request::WriteZeroes { .. }, 0) => Clearing::Zeroes,
        (Request::WriteZeroes { .. }, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) => Clearing::Hole,
        // Section 5.2.6.2: unknown flags, and unmap with discard.
        _ => return Err(Status::Unsupported),
    };
    if sectors > limits::DISK_SECTORS_PER_RANGE {
        return Err(Status::IoError);
    }
    let start = sector.checked_mul(SECTOR_BYTES).ok_or(Status::IoError)?;
    Ok((start, u64::from(sectors) * SECTOR_BYTES, clearing))
}

/// Bytes that the driver wants: all that is writable but the status. A driver that sends data with it mixed things up.
fn answer(shape: Shape) -> Result<usize, Status> {
    match shape {
        Shape {
            readable: HEADER_BYTES,
            writable,
        } => writable.checked_sub(1).ok_or(Status::IoError),
        _ => Err(Status::IoError),
    }
}

/// Bytes that the driver sends: all that is readable but the header. A driver that wants data with it mixed things up.
fn sent(shape: Shape, access: Access) -> Result<usize, Status> {
    match (shape.writable, access) {
        (1, Access::Writable) => shape
            .readable
            .checked_sub(HEADER_BYTES)
            .ok_or(Status::IoError),
        _ => Err(Status::IoError),
    }
}

fn in_sectors(length: usize) -> Result<(), Status> {
    let whole = u64::try_from(length).is_ok_and(|length| length.is_multiple_of(SECTOR_BYTES));
    (whole && length > 0).then_some(()).ok_or(Status::IoError)
}

fn ranges(shape: Shape, access: Access) -> Result<usize, Status> {
    let bytes = sent(shape, access)?;
    let most = usize::try_from(limits::DISK_RANGES_PER_REQUEST).unwrap_or(usize::MAX);
    match bytes / RANGE_BYTES {
        ranges if ranges > 0 && ranges <= most && bytes.is_multiple_of(RANGE_BYTES) => Ok(ranges),
        _ => Err(Status::IoError),
    }
}
