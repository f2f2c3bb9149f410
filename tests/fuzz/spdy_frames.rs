//! Frames of a hostile client, in pieces of any length: no panic, what is kept is bounded, and how the bytes are cut changes nothing but
//! how data is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streaming::spdy::{Decoder, Event};

/// What is kept may never be more than one read and the longest control frame, twice over for what was reserved.
const MOST_KEPT: usize = 4 * ((64 << 10) + (16 << 10));

fuzz_target!(|bytes: &[u8]| {
    let [step, bytes @ ..] = bytes else {
        return;
    };
    let whole = decode(bytes, bytes.len().max(1));
    let cut = decode(bytes, usize::from(*step) + 1);
    assert_eq!(whole, cut);
});

/// The events up to the first error, data put together, and whether there was one.
fn decode(bytes: &[u8], step: usize) -> (Vec<Event>, bool) {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    // No reader asks for more at once.
    for piece in bytes.chunks(step.min(64 << 10)) {
        decoder.room().extend_from_slice(piece);
        assert!(
            decoder.room().capacity() <= MOST_KEPT,
            "{}",
            decoder.room().capacity()
        );
        loop {
            match decoder.next() {
                Ok(Some(event)) => join(&mut events, event),
                Ok(None) => break,
                Err(_none) => return (events, true),
            }
        }
    }
    (events, false)
}

/// Data of one stream without an end between is one.
fn join(events: &mut Vec<Event>, event: Event) {
    if let (
        Some(Event::Data {
            stream: last,
            bytes: so_far,
            fin: ended @ false,
        }),
        Event::Data { stream, bytes, fin },
    ) = (events.last_mut(), &event)
        && *last == *stream
    {
        *so_far = [&so_far[..], bytes].concat().into();
        *ended = *fin;
        return;
    }
    events.push(event);
}
