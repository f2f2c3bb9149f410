//! Frames go there and back; broken ones are named.

use super::*;

fn header(frame: &[u8]) -> &[u8; OPEN_HEADER_BYTES] {
    frame.first_chunk().unwrap()
}

#[test]
fn open_encoded_comes_back() {
    let check = |open: Open| {
        let frame = open.encode().unwrap();
        let head = Open::decode_header(header(&frame)).unwrap();
        assert_eq!(frame.len(), OPEN_HEADER_BYTES + head.ids_bytes);
        assert_eq!(
            Open::decode_ids(head, &frame[OPEN_HEADER_BYTES..]),
            Ok(open)
        );
    };
    for stream in [Stream::Stdin, Stream::Stdout, Stream::Stderr] {
        for exec_id in ["", "exec-1", "ünï"] {
            check(Open {
                stream,
                container_id: "c1".into(),
                exec_id: exec_id.into(),
                offset: u64::MAX - 1,
            });
        }
    }
}

#[test]
fn open_with_broken_bytes_is_refused_by_name() {
    let good = Open {
        stream: Stream::Stdin,
        container_id: "c".into(),
        exec_id: String::new(),
        offset: 0,
    }
    .encode()
    .unwrap();
    let check = |at: usize, value: u8, expect: FrameError| {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(Open::decode_header(header(&bad)), Err(expect));
    };
    check(0, b'X', FrameError::NotOurs);
    check(4, 9, FrameError::UnknownVersion { version: 9 });
    check(5, 3, FrameError::UnknownStream { code: 3 });
    check(
        7,
        0xff,
        FrameError::TooLong {
            field: "ids",
            length: 0xff02,
            limit: MAX_IDS_BYTES,
        },
    );
}

#[test]
fn ids_without_one_separator_are_refused() {
    let head = OpenHeader {
        stream: Stream::Stdin,
        offset: 0,
        ids_bytes: 0,
    };
    for ids in [&b"abc"[..], b"a\0b\0c", b"a\0\xff"] {
        assert_eq!(Open::decode_ids(head, ids), Err(FrameError::BadIds));
    }
}

#[test]
fn opened_encoded_comes_back_and_long_reason_is_cut() {
    let check = |opened: Opened, expect: Opened| {
        let frame = opened.encode();
        let head = Opened::decode_header(frame.first_chunk().unwrap()).unwrap();
        assert_eq!(
            Opened::decode_text(head, &frame[OPENED_HEADER_BYTES..]),
            expect
        );
    };
    check(Opened::Ready { offset: 7 }, Opened::Ready { offset: 7 });
    let refused = |reason: String| Opened::Refused { reason };
    check(
        refused("no such container".into()),
        refused("no such container".into()),
    );
    check(
        refused("é".repeat(2000)),
        refused("é".repeat(MAX_TEXT_BYTES / 2)),
    );
}
