//! Hands a container's output to those who are attached to it, after it has gone into the log. Main types: [`Tee`], and [`Listener`] for one
//! of them. One that does not read holds the log up for a while, all in all, and then gets nothing more, with the reason; the log loses
//! nothing.

use std::time::Duration;

use bytes::Bytes;
use container_log::Stream;
use tokio::{
    sync::{
        mpsc::{Sender, error::SendTimeoutError, error::TrySendError},
        oneshot,
    },
    time::Instant,
};

/// Most clients that are attached to one container.
const LISTENERS: usize = 16;

/// One client that is attached.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Each is dropped when the stream has ended; none from the start if it is not wanted.
    pub(crate) stdout: Option<Sender<Bytes>>,
    pub(crate) stderr: Option<Sender<Bytes>>,
    /// Hears why it gets nothing more; dropped without a word when the output is over.
    pub(crate) cut_off: oneshot::Sender<String>,
}

/// Those who are attached.
#[derive(Debug)]
pub(super) struct Tee {
    places: Vec<Place>,
    patience: Duration,
}

#[derive(Debug)]
struct Place {
    listener: Listener,
    /// How long the log has waited for it since it last had read everything.
    waited: Duration,
}

/// What became of a piece for one of them.
enum Offered {
    Taken,
    /// Nobody reads any more.
    Gone,
    TooSlow,
}

impl Tee {
    /// The log waits for each of them so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            places: Vec::new(),
            patience,
        }
    }

    /// False when there are too many.
    pub(super) fn add(&mut self, listener: Listener) -> bool {
        self.places
            .retain(|place| !place.listener.cut_off.is_closed());
        let has_room = self.places.len() < LISTENERS;
        if has_room {
            self.places.push(Place {
                listener,
                waited: Duration::ZERO,
            });
        }
        has_room
    }

    /// Gives all of them a piece.
    pub(super) async fn send(&mut self, stream: Stream, piece: &Bytes) {
        let mut index = 0;
        while let Some(place) = self.places.get_mut(index) {
            match place.offer(stream, piece, self.patience).await {
                Offered::Taken => index += 1,
                Offered::Gone => drop(self.places.swap_remove(index)),
                Offered::TooSlow => {
                    let place = self.places.swap_remove(index);
                    let seconds = self.patience.as_secs();
                    tracing::warn!(
                        seconds,
                        "a client that was attached did not read and is cut off"
                    );
                    let reason = format!(
                        "the output was not read for {seconds} s; what the container says goes on in its log"
                    );
                    // One that has just left needs no reason.
                    drop(place.listener.cut_off.send(reason));
                }
            }
        }
    }

    /// Nothing more comes of a stream.
    pub(super) fn end(&mut self, stream: Stream) {
        for place in &mut self.places {
            *place.listener.of(stream) = None;
        }
    }
}

impl Listener {
    fn of(&mut self, stream: Stream) -> &mut Option<Sender<Bytes>> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl Place {
    async fn offer(&mut self, stream: Stream, piece: &Bytes, patience: Duration) -> Offered {
        let Some(to) = self.listener.of(stream) else {
            return Offered::Taken;
        };
        if to.capacity() == to.max_capacity() {
            self.waited = Duration::ZERO;
        }
        let piece = match to.try_send(piece.clone()) {
            Ok(()) => return Offered::Taken,
            Err(TrySendError::Closed(_)) => return Offered::Gone,
            Err(TrySendError::Full(piece)) => piece,
        };
        let begun = Instant::now();
        let left = patience.saturating_sub(self.waited);
        let sent = to.send_timeout(piece, left).await;
        self.waited += begun.elapsed();
        match sent {
            Ok(()) => Offered::Taken,
            Err(SendTimeoutError::Closed(_)) => Offered::Gone,
            Err(SendTimeoutError::Timeout(_)) => Offered::TooSlow,
        }
    }
}

#[cfg(test)]
mod tests;
