//! The part of an output stream that the host has not acknowledged: bytes with their offsets. Pure.

use std::collections::VecDeque;

use agent::stdio::WINDOW_BYTES;

/// More spare memory than this is given back when everything is acknowledged.
const IDLE_BYTES: usize = 16 * 1024;

/// Output between the last acknowledged byte and the last one read from the process. Holds no memory before the first byte.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Offset of the first byte held.
    start: u64,
    bytes: VecDeque<u8>,
}

impl Window {
    /// How many bytes may be pushed.
    pub(super) fn room(&self) -> usize {
        WINDOW_BYTES.saturating_sub(self.bytes.len())
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Offset behind the last byte held.
    pub(super) fn end(&self) -> u64 {
        self.start + u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Some of the bytes from that offset on; none only at the end.
    pub(super) fn from(&self, offset: u64) -> &[u8] {
        let Some(skip) = self.index(offset) else {
            return &[];
        };
        let (first, second) = self.bytes.as_slices();
        match first.get(skip..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => second
                .get(skip.saturating_sub(first.len())..)
                .unwrap_or_default(),
        }
    }

    /// Forgets every byte before `offset`. False, and nothing is changed, when the host can't have those bytes.
    pub(super) fn acknowledge(&mut self, offset: u64) -> bool {
        let Some(count) = self.index(offset) else {
            return false;
        };
        self.bytes.drain(..count);
        self.start = offset;
        if self.bytes.is_empty() && self.bytes.capacity() > IDLE_BYTES {
            self.bytes = VecDeque::new();
        }
        true
    }

    /// Where in `bytes` the offset is; none outside of `start..=end`.
    fn index(&self, offset: u64) -> Option<usize> {
        let index = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (index <= self.bytes.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests;
