//! Messages of both encodings.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

use super::{Encoding, decode, encode};

fn check(encoding: Encoding, message: &Message, channel: u8, bytes: &'static [u8]) {
    assert_eq!(&encode(channel, bytes, encoding), message);
    let decoded = decode(message.clone(), encoding);
    assert_eq!(decoded, Some((channel, Bytes::from_static(bytes))));
}

#[test]
fn message_is_a_channel_and_its_bytes() {
    let binary = |bytes: &'static [u8]| Message::Binary(Bytes::from_static(bytes));
    check(Encoding::Binary, &binary(b"\x01hello"), 1, b"hello");
    check(Encoding::Binary, &binary(b"\x04"), 4, b"");
    check(Encoding::Base64, &Message::text("1aGVsbG8="), 1, b"hello");
    check(Encoding::Base64, &Message::text("0"), 0, b"");
}

#[test]
fn message_of_no_channel_is_none() {
    let check = |encoding, message| assert_eq!(decode(message, encoding), None);
    check(Encoding::Binary, Message::Binary(Bytes::new()));
    check(Encoding::Binary, Message::text("0hello"));
    check(Encoding::Base64, Message::text(""));
    check(Encoding::Base64, Message::text("0not base64"));
    check(Encoding::Base64, Message::text("!aGVsbG8="));
    check(
        Encoding::Base64,
        Message::Binary(Bytes::from_static(b"0aGVsbG8=")),
    );
}
