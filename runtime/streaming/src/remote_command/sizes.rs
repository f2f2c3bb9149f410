//! The sizes of a client's window, as they come: JSON objects one after the other, in pieces of any length. Main type: [`Reader`]. Above:
//! `remote_command`.

use model::WindowSize;
use serde::Deserialize;
use thiserror::Error;

use crate::limits;

#[cfg(test)]
mod tests;

/// Why there are no more sizes.
#[derive(Debug, Error)]
pub(super) enum SizeError {
    #[error("read the size of a client's window")]
    Malformed(#[source] serde_json::Error),
    #[error("read the size of a client's window: it does not end")]
    TooLong,
}

/// As Go writes its `TerminalSize`.
#[derive(Deserialize)]
struct Size {
    #[serde(rename = "Width", alias = "width")]
    width: u16,
    #[serde(rename = "Height", alias = "height")]
    height: u16,
}

/// Puts the pieces together.
#[derive(Debug, Default)]
pub(super) struct Reader {
    begun: Vec<u8>,
}

impl Reader {
    /// The sizes that end in this piece. Zeros are left out: they come from clients without a terminal.
    pub(super) fn sizes(&mut self, piece: &[u8]) -> Result<Vec<WindowSize>, SizeError> {
        self.begun.extend_from_slice(piece);
        let mut sizes = Vec::new();
        let mut values = serde_json::Deserializer::from_slice(&self.begun).into_iter::<Size>();
        let used = loop {
            let before = values.byte_offset();
            match values.next() {
                Some(Ok(size)) => sizes.extend(window_size(&size)),
                Some(Err(error)) if error.is_eof() => break before,
                Some(Err(error)) => return Err(SizeError::Malformed(error)),
                None => break self.begun.len(),
            }
        };
        self.begun.drain(..used);
        match self.begun.len() {
            0..=limits::SIZE_BYTES => Ok(sizes),
            _ => Err(SizeError::TooLong),
        }
    }
}

fn window_size(size: &Size) -> Option<WindowSize> {
    let (columns, rows) = (size.width, size.height);
    (columns > 0 && rows > 0).then_some(WindowSize { columns, rows })
}
