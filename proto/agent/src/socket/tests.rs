//! Frames go there and back; broken ones are named.

use super::*;
use crate::{dial::Dial, stdio::Open};

fn wait(id: &str) -> Wait {
    Wait {
        volume_id: id.to_owned(),
    }
}

#[test]
fn wait_encoded_comes_back() {
    for id in ["v", "v-0123", &"x".repeat(MAX_IDS_BYTES)] {
        let frame = wait(id).encode().unwrap();
        let (header, rest) = frame.split_first_chunk().unwrap();
        assert!(Wait::is_meant(header) && !Dial::is_meant(header));
        assert_eq!(Open::decode_header(header), Err(FrameError::NotOurs));
        assert_eq!(Wait::decode_header(header), Ok(rest.len()));
        assert_eq!(Wait::decode_id(rest), Ok(wait(id)));
    }
}

#[test]
fn wait_with_broken_bytes_is_refused_by_name() {
    let check = |at: usize, value: u8, expect: FrameError| {
        let mut frame = wait("v").encode().unwrap();
        frame[at] = value;
        let header = frame.first_chunk().unwrap();
        assert_eq!(Wait::decode_header(header), Err(expect));
    };
    check(0, b'X', FrameError::NotOurs);
    check(4, 9, FrameError::UnknownVersion { version: 9 });
    let too_long = |length| FrameError::TooLong {
        field: "volume id",
        length,
        limit: MAX_IDS_BYTES,
    };
    check(7, 0xff, too_long(0xff01));
    let long = wait(&"x".repeat(MAX_IDS_BYTES + 1));
    assert_eq!(long.encode(), Err(too_long(MAX_IDS_BYTES + 1)));
    assert_eq!(Wait::decode_id(&[0xff]), Err(FrameError::BadIds));
}

#[test]
fn caller_encoded_comes_back() {
    for (uid, gid) in [(0, 0), (1000, 2000), (u32::MAX, 0x0102_0304)] {
        let caller = Caller { uid, gid };
        assert_eq!(Caller::decode(caller.encode()), caller);
    }
}
