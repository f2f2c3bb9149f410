//! The wire format of a connection to a port in the pod: a vsock connection to `STDIO_PORT`, opened by the host, that the guest joins to
//! a TCP connection to its own loopback. Beside [`stdio`](crate::stdio), whose streams begin with another frame of the same length. Main
//! type: [`Dial`]. Pure encoding, used by `agent-client` and `agentd`.
//!
//! ```text
//! host → guest   Dial      "CFDL" version:u8 0:u8 port:u16 0:u64
//! guest → host   Opened    as for a stdio stream, with offset 0: the port answers, or why not
//! then           bytes as they are, both ways
//! ```
//!
//! The guest tries 127.0.0.1, then ::1: the loopback of the network that its pod's containers share. The end of one direction is a
//! shutdown of that direction, and the other one goes on; when a direction has ended and nothing has passed in the other one for a long
//! time, the guest closes both. A connection that is refused is answered with the kernel's words for each address.

use crate::stdio::{FrameError, OPEN_HEADER_BYTES};

/// First bytes of a `Dial` frame.
pub const MAGIC: [u8; 4] = *b"CFDL";

/// Version of this format, in the `Dial` frame.
pub const VERSION: u8 = 1;

/// Size of a `Dial` frame, in bytes: that of the first part of an `Open` frame, so that a reader needs not know which one comes.
pub const DIAL_BYTES: usize = OPEN_HEADER_BYTES;

/// The host's first frame: which port of the pod it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    /// Never 0.
    pub port: u16,
}

impl Dial {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; DIAL_BYTES] {
        let [m0, m1, m2, m3] = MAGIC;
        let [p0, p1] = self.port.to_le_bytes();
        [m0, m1, m2, m3, VERSION, 0, p0, p1, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    /// Whether these bytes begin such a frame, and not one of a stdio stream.
    #[must_use]
    pub fn is_meant(bytes: &[u8; DIAL_BYTES]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When the bytes are not such a frame.
    pub fn decode(bytes: &[u8; DIAL_BYTES]) -> Result<Self, FrameError> {
        let [m0, m1, m2, m3, version, _, p0, p1, ..] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::NotOurs);
        }
        if version != VERSION {
            return Err(FrameError::UnknownVersion { version });
        }
        match u16::from_le_bytes([p0, p1]) {
            0 => Err(FrameError::NoPort),
            port => Ok(Self { port }),
        }
    }
}

#[cfg(test)]
mod tests;
