//! From the bytes of a stream to lines of the log. Pure.
//!
//! Where a line is cut depends on the stream alone, not on the chunks that it arrives in, nor on
//! where the writer was killed. Above: `log_file`. Below: `line`.

#[cfg(test)]
mod tests;

use crate::limits::TEXT_BYTES;
use crate::line::{self, Stamp, Stream, Tag};

/// Writes what can be written of `bytes`, and says how many that were. The rest is an unfinished
/// line of at most [`TEXT_BYTES`]: as long as it has no newline and no byte more, it may become
/// either tag.
pub(crate) fn lines(out: &mut Vec<u8>, stamp: &Stamp, stream: Stream, bytes: &[u8]) -> usize {
    let mut taken = 0;
    for bytes in bytes.split_inclusive(|byte| *byte == b'\n') {
        let ended = bytes.strip_suffix(b"\n");
        let mut text = ended.unwrap_or(bytes);
        while text.len() > TEXT_BYTES {
            let (piece, more) = text.split_at(TEXT_BYTES);
            line::write(out, stamp, stream, Tag::Partial, piece);
            taken += piece.len();
            text = more;
        }
        if ended.is_some() {
            line::write(out, stamp, stream, Tag::Full, text);
            taken += text.len() + 1;
        }
    }
    taken
}
