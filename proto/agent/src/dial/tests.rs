//! Frames go there and back; broken ones are named.

use super::*;
use crate::stdio::Open;

#[test]
fn dial_encoded_comes_back() {
    for port in [1, 80, 0x1234, u16::MAX] {
        let frame = Dial { port }.encode();
        assert!(Dial::is_meant(&frame));
        assert_eq!(Dial::decode(&frame), Ok(Dial { port }));
    }
}

#[test]
fn dial_is_no_stdio_stream_and_the_reverse() {
    let dial = Dial { port: 80 }.encode();
    assert_eq!(Open::decode_header(&dial), Err(FrameError::NotOurs));
    let open = Open {
        stream: crate::stdio::Stream::Stdin,
        container_id: "c".into(),
        exec_id: String::new(),
        offset: 0,
    };
    let open = open.encode().unwrap();
    let open = open.first_chunk().unwrap();
    assert!(!Dial::is_meant(open));
    assert_eq!(Dial::decode(open), Err(FrameError::NotOurs));
}

#[test]
fn dial_with_broken_bytes_is_refused_by_name() {
    let check = |at: usize, value: u8, expect: FrameError| {
        let mut frame = Dial { port: 80 }.encode();
        frame[at] = value;
        assert_eq!(Dial::decode(&frame), Err(expect));
    };
    check(3, b'X', FrameError::NotOurs);
    check(4, 2, FrameError::UnknownVersion { version: 2 });
    check(6, 0, FrameError::NoPort);
}
