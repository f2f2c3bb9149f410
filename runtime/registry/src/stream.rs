//! The join between a download, which awaits, and the store's converter, which blocks: a bounded queue of pieces with a
//! [`Read`] at its end.
//!
//! Main type: [`Arrival`]. Used by `flight` and `download`.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::limits;

/// What travels.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    /// All of it has come. A queue that closes without this broke off.
    End,
}

/// A layer's bytes as they arrive. Reading blocks.
#[derive(Debug)]
pub(crate) struct Arrival {
    pieces: Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

pub(crate) fn arrival() -> (Sender<Piece>, Arrival) {
    let (sender, pieces) = mpsc::channel(limits::PIECES_AHEAD);
    let arrival = Arrival {
        pieces,
        current: Bytes::new(),
        ended: false,
    };
    (sender, arrival)
}

impl Read for Arrival {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Data(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the download broke off",
                    ));
                }
            }
        }
        let most = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..most]);
        Ok(most)
    }
}
