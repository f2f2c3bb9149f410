//! A message is a channel and its bytes. Main functions: [`encode`], [`decode`]. Above: `connection`. Pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Message;

#[cfg(test)]
mod tests;

/// How bytes stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    /// For clients that have only text.
    Base64,
}

/// A message of a channel. In base64 there are no more channels than ASCII has characters from `0` on.
pub(super) fn encode(channel: u8, bytes: &[u8], encoding: Encoding) -> Message {
    match encoding {
        Encoding::Binary => {
            let mut message = BytesMut::with_capacity(1 + bytes.len());
            message.put_u8(channel);
            message.put_slice(bytes);
            Message::Binary(message.freeze())
        }
        Encoding::Base64 => {
            let mut text = String::from(char::from(b'0'.wrapping_add(channel)));
            STANDARD.encode_string(bytes, &mut text);
            Message::text(text)
        }
    }
}

/// Channel and bytes of a message; `None` if it has none, or is of the other encoding.
pub(super) fn decode(message: Message, encoding: Encoding) -> Option<(u8, Bytes)> {
    match (message, encoding) {
        (Message::Binary(mut bytes), Encoding::Binary) => {
            let channel = *bytes.first()?;
            Some((channel, bytes.split_off(1)))
        }
        (Message::Text(text), Encoding::Base64) => {
            let (first, rest) = text.as_bytes().split_first()?;
            let channel = first.checked_sub(b'0')?;
            Some((channel, STANDARD.decode(rest).ok()?.into()))
        }
        _ => None,
    }
}
