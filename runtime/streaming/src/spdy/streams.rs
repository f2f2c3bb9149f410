//! The streams that a client has opened on a connection. Main type: [`Streams`]. Above: `connection`, whose reading half owns it.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    limits,
    pipe::{self, Inbound, Piece},
};

/// Open streams by their number.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: HashMap<u32, mpsc::Sender<Piece>>,
    last: u32,
}

impl Streams {
    /// Takes the number of a new stream; false if it can't be one.
    pub(crate) fn number(&mut self, stream: u32) -> bool {
        let right = stream % 2 == 1 && stream > self.last;
        if right {
            self.last = stream;
        }
        right
    }

    /// Whether there may be one more, now that those are forgotten that nobody reads.
    pub(crate) fn has_room(&mut self) -> bool {
        if self.open.len() >= limits::STREAMS {
            self.open.retain(|_, pieces| !pieces.is_closed());
        }
        self.open.len() < limits::STREAMS
    }

    pub(crate) fn add(&mut self, stream: u32) -> Inbound {
        let (pieces, inbound) = pipe::inbound();
        self.open.insert(stream, pieces);
        inbound
    }

    /// Gives a stream's reader what came, and waits while its queue is full. What nobody reads is dropped. After the client's end of a
    /// stream the reader still waits for its reset.
    pub(crate) async fn give(&mut self, stream: u32, bytes: Bytes, fin: bool) {
        let Some(pieces) = self.open.get(&stream) else {
            return;
        };
        let given = async {
            if !bytes.is_empty() {
                pieces.send(Piece::Data(bytes)).await?;
            }
            if fin {
                pieces.send(Piece::End).await?;
            }
            Ok::<_, mpsc::error::SendError<Piece>>(())
        };
        if given.await.is_err() {
            self.open.remove(&stream);
        }
    }

    /// Forgets a stream that the client has reset; its reader hears of it.
    pub(crate) fn remove(&mut self, stream: u32) {
        self.open.remove(&stream);
    }
}
