//! Bytes to events, whole and in any pieces.

use bytes::{BufMut, Bytes};

use super::{Decoder, Event, Farewell, FrameError, Reset, data_head, goaway, ping, rst_stream};
use crate::limits;

/// Gives the bytes in steps of `step`, as a socket may.
fn decode(bytes: &[u8], step: usize) -> Result<Vec<Event>, FrameError> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.room().put_slice(piece);
        while let Some(event) = decoder.next()? {
            events.push(event);
        }
    }
    Ok(events)
}

fn control(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let head = [0x80, 3, 0, kind, flags, 0, length[0], length[1]];
    [&head, body].concat()
}

fn check(bytes: &[u8], expect: &Result<Vec<Event>, FrameError>) {
    for step in [1, 2, 7, 8, 9, bytes.len().max(1)] {
        assert_eq!(&decode(bytes, step), expect, "in steps of {step}");
    }
}

#[test]
fn frames_of_a_client_are_its_events() {
    let block = Bytes::from_static(b"block");
    let syn = control(1, 1, b"\0\0\0\x05\0\0\0\0\xe0\0block");
    let open = Event::Open {
        stream: 5,
        block: block.clone(),
        fin: true,
    };
    check(&syn, &Ok(vec![open]));
    let headers = control(8, 0, b"\0\0\0\x05block");
    check(
        &headers,
        &Ok(vec![Event::Headers {
            block: block.clone(),
        }]),
    );
    let reply = control(2, 0, b"\0\0\0\x05block");
    check(&reply, &Ok(vec![Event::Headers { block }]));
    check(
        &rst_stream(7, Reset::Cancel),
        &Ok(vec![Event::Reset { stream: 7 }]),
    );
    check(&ping(9), &Ok(vec![Event::Ping { id: 9 }]));
    check(&goaway(0, Farewell::Ok), &Ok(vec![Event::GoAway]));
}

#[test]
fn data_is_handed_on_as_it_comes() {
    let frame = [&data_head(3, 4, true)[..], b"abcd"].concat();
    let data = |bytes, fin| Event::Data {
        stream: 3,
        bytes: Bytes::from_static(bytes),
        fin,
    };
    assert_eq!(decode(&frame, 100), Ok(vec![data(b"abcd", true)]));
    let pieces = vec![data(b"ab", false), data(b"cd", true)];
    assert_eq!(decode(&frame, 10), Ok(pieces));
    let end = data_head(3, 0, true);
    check(&end, &Ok(vec![data(b"", true)]));
    let empty = data_head(3, 0, false);
    check(&empty, &Ok(vec![data(b"", false)]));
}

#[test]
fn longest_data_frame_comes_in_pieces_of_bounded_memory() {
    let length = (1 << 24) - 1;
    let mut decoder = Decoder::default();
    decoder.room().put_slice(&data_head(3, length, true));
    let chunk = vec![7; limits::READ_BYTES];
    let mut left = length;
    let mut ended = false;
    while left > 0 {
        let now = left.min(chunk.len());
        decoder.room().put_slice(&chunk[..now]);
        left -= now;
        while let Some(event) = decoder.next().unwrap() {
            let Event::Data { bytes, fin, .. } = event else {
                panic!("{event:?}");
            };
            assert!(bytes.len() <= limits::PIECE_BYTES);
            assert!(!ended);
            ended = fin;
        }
        assert!(decoder.buffer.capacity() <= 4 * limits::READ_BYTES);
    }
    assert!(ended);
}

#[test]
fn frames_of_no_interest_are_passed_over() {
    let settings = control(4, 0, b"\0\0\0\0");
    let window = control(9, 0, b"\0\0\0\x01\0\0\x10\0");
    let unknown = control(200, 0, b"anything");
    let bytes = [settings, window, unknown, ping(1)].concat();
    check(&bytes, &Ok(vec![Event::Ping { id: 1 }]));
}

#[test]
fn what_is_no_spdy_ends_the_connection() {
    check(b"\x80\x02\0\x01\0\0\0\0", &Err(FrameError::Version(2)));
    check(
        b"\xff\xff\xff\xff\0\0\0\0",
        &Err(FrameError::Version(0x7fff)),
    );
    check(&data_head(0, 0, false), &Err(FrameError::NoStream));
    check(&rst_stream(0, Reset::Cancel), &Err(FrameError::NoStream));
    check(&control(1, 0, &[0; 10]), &Err(FrameError::NoStream));
    let short = FrameError::TooShort { kind: 1, length: 9 };
    check(&control(1, 0, b"\0\0\0\x01\0\0\0\0\0"), &Err(short));
    let short = FrameError::TooShort { kind: 6, length: 3 };
    check(&control(6, 0, b"\0\0\0"), &Err(short));
}

#[test]
fn control_frame_is_refused_by_its_length_before_it_is_kept() {
    let long = limits::CONTROL_FRAME_BYTES + 1;
    let [.., high, low] = long.to_be_bytes();
    let head = [0x80, 3, 0, 1, 0, 0, high, low];
    check(&head, &Err(FrameError::TooLong(long)));
    let head = [0x80, 3, 0, 99, 0, 0xff, 0xff, 0xff];
    check(&head, &Err(FrameError::TooLong(0xff_ffff)));
}
