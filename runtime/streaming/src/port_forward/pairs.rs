//! Which two streams are one connection. Main type: [`Pairs`]. Above: `over_spdy`.

use std::{collections::HashMap, num::NonZeroU16, time::Duration};

use tokio::time::Instant;

use super::{Forward, HalfClose};
use crate::spdy::{Headers, Stream};

#[cfg(test)]
mod tests;

/// Longest id of a request. Clients count.
const REQUEST_ID_BYTES: usize = 64;

/// What a stream of a forwarded connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error,
    Data,
}

/// Which connection a stream belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Request {
    Named(String),
    /// Clients without request ids open `error`, then `data` with the next number.
    Error(u32),
}

/// Streams that wait for their other half.
#[derive(Debug)]
pub(super) struct Pairs {
    patience: Duration,
    halves: HashMap<Request, Half>,
}

#[derive(Debug)]
struct Half {
    kind: Kind,
    stream: Stream,
    until: Instant,
}

/// What becomes of a new stream.
#[derive(Debug)]
pub(super) enum Paired {
    /// Its other half was there.
    Whole(Forward),
    /// It is the first.
    Waits,
    /// There is one of its kind already: both ends are told that it is not wanted.
    Twice(Stream),
}

/// Whether a stream with these headers can be half of a connection.
pub(super) fn may_be(id: u32, headers: &Headers) -> bool {
    port(headers).is_some()
        && kind(headers).is_some_and(|kind| request(id, kind, headers).is_some())
}

impl Pairs {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            halves: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, stream: Stream) -> Paired {
        let (id, headers) = (stream.id, &stream.headers);
        let found = kind(headers).and_then(|kind| Some((kind, request(id, kind, headers)?)));
        let Some((kind, request)) = found else {
            return Paired::Twice(stream);
        };
        match self.halves.remove(&request) {
            Some(half) if half.kind == kind => {
                self.halves.insert(request, half);
                Paired::Twice(stream)
            }
            Some(half) if kind == Kind::Data => whole(stream, half.stream),
            Some(half) => whole(half.stream, stream),
            None => {
                let until = Instant::now() + self.patience;
                let half = Half {
                    kind,
                    stream,
                    until,
                };
                self.halves.insert(request, half);
                Paired::Waits
            }
        }
    }

    /// When the first has waited for too long.
    pub(super) fn until(&self) -> Option<Instant> {
        self.halves.values().map(|half| half.until).min()
    }

    /// Those that have waited for too long.
    pub(super) fn late(&mut self) -> Vec<Stream> {
        let now = Instant::now();
        let late = self.halves.extract_if(|_, half| half.until <= now);
        late.map(|(_, half)| half.stream).collect()
    }
}

fn whole(data: Stream, error: Stream) -> Paired {
    // The port of `data` is where bytes go; it was looked at when the stream was admitted.
    match port(&data.headers) {
        Some(port) => Paired::Whole(Forward {
            port,
            from: data.from,
            to: data.to,
            error: error.to,
            half_close: HalfClose::Known,
        }),
        None => Paired::Twice(data),
    }
}

fn kind(headers: &Headers) -> Option<Kind> {
    match headers.get("streamtype")? {
        "error" => Some(Kind::Error),
        "data" => Some(Kind::Data),
        _ => None,
    }
}

fn port(headers: &Headers) -> Option<u16> {
    let port: NonZeroU16 = headers.get("port")?.parse().ok()?;
    Some(port.get())
}

fn request(id: u32, kind: Kind, headers: &Headers) -> Option<Request> {
    match (headers.get("requestid"), kind) {
        (Some(name), _) if name.len() > REQUEST_ID_BYTES => None,
        (Some(name), _) => Some(Request::Named(name.to_owned())),
        (None, Kind::Error) => Some(Request::Error(id)),
        (None, Kind::Data) => Some(Request::Error(id.checked_sub(2)?)),
    }
}
