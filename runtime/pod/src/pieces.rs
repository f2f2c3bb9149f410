//! Bytes that one task makes and another one reads, piece by piece and without a copy. Main type: [`PieceReader`]. Used by `output` for
//! those who attach, and by front doors.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::mpsc,
};

/// Reads what is sent, and ends when every sender is gone.
#[derive(Debug)]
pub struct PieceReader {
    from: mpsc::Receiver<Bytes>,
    /// The piece that is being read.
    piece: Bytes,
}

/// A reader that holds at most so many pieces that have not been read.
#[must_use]
pub fn pieces(most: usize) -> (mpsc::Sender<Bytes>, PieceReader) {
    let (to, from) = mpsc::channel(most);
    let piece = Bytes::new();
    (to, PieceReader { from, piece })
}

impl AsyncRead for PieceReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.from.poll_recv(context)) {
                Some(piece) => self.piece = piece,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.piece.len().min(buffer.remaining());
        buffer.put_slice(self.piece.get(..count).unwrap_or_default());
        self.piece.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
