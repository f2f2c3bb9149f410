//! What passes as a request and as a reply.

use super::*;

fn header(length: u32, code: u32, unique: u64, bytes: usize) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(length.to_le_bytes());
    header.extend(code.to_le_bytes());
    header.extend(unique.to_le_bytes());
    header.resize(bytes, 0);
    header
}

fn check_request(bytes: &[u8], room: usize, expect: Result<Request, Errno>) {
    let found = request(bytes, bytes.len(), room);
    assert_eq!(found.map_err(|refused| refused.error), expect);
}

#[test]
fn request_that_is_whole_has_its_number() {
    let answered = Ok(Request::Answered { unique: 7 });
    check_request(&header(40, 1, 7, 40), 16, answered);
    check_request(&header(100, 1, 7, 100), 5000, answered);
    let most = u32::try_from(SHARE_MESSAGE_BYTES).unwrap();
    check_request(&header(most, 16, 7, SHARE_MESSAGE_BYTES), 16, answered);
}

#[test]
fn request_without_an_answer_needs_no_room() {
    check_request(&header(48, FORGET, 7, 48), 0, Ok(Request::Unanswered));
    check_request(&header(48, BATCH_FORGET, 7, 48), 0, Ok(Request::Unanswered));
    check_request(&header(48, INTERRUPT, 7, 48), 0, Ok(Request::Ignored));
    check_request(&header(48, NOTIFY_REPLY, 7, 48), 0, Ok(Request::Ignored));
}

#[test]
fn request_that_lies_is_refused() {
    check_request(&[], 16, Err(Errno::INVAL));
    check_request(&[0; 7], 16, Err(Errno::INVAL));
    check_request(&header(39, 1, 7, 39), 16, Err(Errno::INVAL));
    check_request(&header(41, 1, 7, 40), 16, Err(Errno::INVAL));
    check_request(&header(40, 1, 7, 41), 16, Err(Errno::INVAL));
    check_request(&header(40, 1, 7, 40), 15, Err(Errno::INVAL));
    check_request(&header(u32::MAX, 1, 7, 40), 16, Err(Errno::INVAL));
    check_request(&header(39, FORGET, 7, 39), 16, Err(Errno::INVAL));
    let long = header(1, 1, 7, SHARE_MESSAGE_BYTES);
    let refused = request(&long, SHARE_MESSAGE_BYTES + 1, 16).unwrap_err();
    assert_eq!((refused.unique, refused.error), (7, Errno::TOOBIG));
}

fn check_reply(bytes: &[u8], expect: Result<Reply, Lie>) {
    assert_eq!(reply(bytes), expect);
}

#[test]
fn reply_that_is_whole_has_its_number() {
    let expect = Ok(Reply { unique: 9 });
    check_reply(&header(16, 0, 9, 16), expect);
    check_reply(&header(300, 0, 9, 300), expect);
    check_reply(&failure(9, Errno::NOENT), expect);
    check_reply(&header(16, (-4095_i32).cast_unsigned(), 9, 16), expect);
}

#[test]
fn reply_that_lies_is_none() {
    check_reply(&[], Err(Lie));
    check_reply(&header(15, 0, 9, 15), Err(Lie));
    check_reply(&header(17, 0, 9, 16), Err(Lie));
    check_reply(&header(16, 0, 9, 17), Err(Lie));
    check_reply(&header(16, 1, 9, 16), Err(Lie));
    check_reply(&header(16, (-4096_i32).cast_unsigned(), 9, 16), Err(Lie));
    check_reply(&header(16, i32::MIN.cast_unsigned(), 9, 16), Err(Lie));
    check_reply(&header(20, (-2_i32).cast_unsigned(), 9, 20), Err(Lie));
}

#[test]
fn failure_is_the_header_of_the_kernel() {
    let mut expect = vec![16, 0, 0, 0];
    expect.extend((-107_i32).to_le_bytes());
    expect.extend(0x0102_0304_0506_0708_u64.to_le_bytes());
    assert_eq!(
        failure(0x0102_0304_0506_0708, Errno::NOTCONN).to_vec(),
        expect
    );
}
