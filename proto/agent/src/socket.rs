//! The wire format of a connection of the host's that waits for a process in the pod to connect to a socket of the host: a vsock connection to `STDIO_PORT`,
//! opened by the host, that the guest joins to that process's connection. Beside [`dial`](crate::dial), which is the other way round. Main types:
//! [`Wait`], [`Caller`]. Pure encoding, used by `agent-client` and `agentd`.
//!
//! ```text
//! host → guest   Wait      "CFWT" version:u8 0:u8 id_len:u16 0:u64 volume_id
//! guest → host   Opened    as for a stdio stream, with offset 0: such a socket is there, or why not
//! guest → host   Caller    uid:u32 gid:u32, when a process has connected, however long it takes
//! then           bytes as they are, both ways
//! ```
//!
//! The socket is a volume (`MountVolume` with `socket`). Each connection waits for one process; the guest accepts none while no connection waits, so
//! processes wait in the kernel's queue as they do for a server that is busy. A connection that ends before a process has come
//! takes nothing with it. The end of one direction is a shutdown of that direction.

use crate::stdio::{FrameError, MAX_IDS_BYTES, OPEN_HEADER_BYTES};

/// First bytes of a `Wait` frame.
pub const MAGIC: [u8; 4] = *b"CFWT";

/// Version of this format, in the `Wait` frame.
pub const VERSION: u8 = 1;

/// Size of the part of a `Wait` frame before its id, in bytes: that of the first part of an `Open` frame, so that a reader needs not know which one
/// comes.
pub const WAIT_HEADER_BYTES: usize = OPEN_HEADER_BYTES;

/// Size of a `Caller` frame, in bytes.
pub const CALLER_BYTES: usize = 8;

/// The host's first frame: which socket it answers at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The socket's volume.
    pub volume_id: String,
}

/// Who has connected, in the ids of the guest's first user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The process's effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl Wait {
    /// The frame's bytes.
    ///
    /// # Errors
    /// When the id is longer than [`MAX_IDS_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let length = within(self.volume_id.len())?;
        let mut frame = Vec::with_capacity(WAIT_HEADER_BYTES + self.volume_id.len());
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(&[VERSION, 0]);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&[0; 8]);
        frame.extend_from_slice(self.volume_id.as_bytes());
        Ok(frame)
    }

    /// Whether these bytes begin such a frame, and not one of a stdio stream.
    #[must_use]
    pub fn is_meant(bytes: &[u8; WAIT_HEADER_BYTES]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads the fixed part: how many bytes of the id follow.
    ///
    /// # Errors
    /// When the bytes are not such a header, or announce an id over the limit.
    pub fn decode_header(bytes: &[u8; WAIT_HEADER_BYTES]) -> Result<usize, FrameError> {
        let [m0, m1, m2, m3, version, _, i0, i1, ..] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::NotOurs);
        }
        if version != VERSION {
            return Err(FrameError::UnknownVersion { version });
        }
        let length = usize::from(u16::from_le_bytes([i0, i1]));
        within(length).map(|_fits| length)
    }

    /// Makes the frame of the id that followed the fixed part.
    ///
    /// # Errors
    /// When it is no UTF-8.
    pub fn decode_id(id: &[u8]) -> Result<Self, FrameError> {
        let id = str::from_utf8(id).map_err(|_not_utf8| FrameError::BadIds)?;
        Ok(Self {
            volume_id: id.to_owned(),
        })
    }
}

impl Caller {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; CALLER_BYTES] {
        let [u0, u1, u2, u3] = self.uid.to_le_bytes();
        let [g0, g1, g2, g3] = self.gid.to_le_bytes();
        [u0, u1, u2, u3, g0, g1, g2, g3]
    }

    /// Reads a frame. Any bytes are one.
    #[must_use]
    pub fn decode(bytes: [u8; CALLER_BYTES]) -> Self {
        let [u0, u1, u2, u3, g0, g1, g2, g3] = bytes;
        Self {
            uid: u32::from_le_bytes([u0, u1, u2, u3]),
            gid: u32::from_le_bytes([g0, g1, g2, g3]),
        }
    }
}

fn within(length: usize) -> Result<u16, FrameError> {
    let fits = u16::try_from(length).ok();
    let fits = fits.filter(|_| length <= MAX_IDS_BYTES);
    fits.ok_or(FrameError::TooLong {
        field: "volume id",
        length,
        limit: MAX_IDS_BYTES,
    })
}

#[cfg(test)]
mod tests;
