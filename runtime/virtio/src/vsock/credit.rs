//! Flow control of one connection (virtio 1.3, section 5.10.6.3): who may send how much. Main types: [`Inbound`], our promise to
//! the guest, and [`Outbound`], the guest's to us. Above: `connection`. Pure numbers, all counters wrap.

#[cfg(test)]
mod tests;

use super::limits::{BACKLOG_BYTES, CREDIT_NEWS_BYTES, LEAST_CREDIT_BYTES};

/// Bytes from the guest to the client: we have promised to hold [`BACKLOG_BYTES`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Inbound {
    received: u32,
    forwarded: u32,
    /// `forwarded` as the guest last heard it.
    told: u32,
}

/// Bytes from the client to the guest: what it promised, and what it said of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outbound {
    buf_alloc: u32,
    forwarded: u32,
    sent: u32,
}

/// The guest sent more than we promised to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overrun;

impl Inbound {
    /// Counts a packet in.
    ///
    /// # Errors
    /// When the guest may not have sent it.
    pub(super) fn receive(&mut self, bytes: usize) -> Result<(), Overrun> {
        let bytes = u32::try_from(bytes).map_err(|_wide| Overrun)?;
        let room = BACKLOG_BYTES - self.received.wrapping_sub(self.forwarded);
        if bytes > room {
            return Err(Overrun);
        }
        self.received = self.received.wrapping_add(bytes);
        Ok(())
    }

    /// Counts bytes out: the client has them, or nobody ever will. Never more than came in.
    pub(super) fn forward(&mut self, bytes: usize) {
        let waiting = self.received.wrapping_sub(self.forwarded);
        let bytes = u32::try_from(bytes).map_or(waiting, |bytes| bytes.min(waiting));
        self.forwarded = self.forwarded.wrapping_add(bytes);
    }

    /// Enough has become free that the guest should hear of it without asking.
    pub(super) fn has_news(&self) -> bool {
        self.forwarded.wrapping_sub(self.told) >= CREDIT_NEWS_BYTES
    }

    /// `fwd_cnt` for a packet that goes out now.
    pub(super) fn tell(&mut self) -> u32 {
        self.told = self.forwarded;
        self.forwarded
    }
}

impl Outbound {
    /// Takes `buf_alloc` and `fwd_cnt` of a packet. The buffer may shrink. A count that is older than what we know, or ahead
    /// of what we sent, is a lie or a packet that was overtaken: it is not believed, and costs nobody but the guest.
    pub(super) fn learn(&mut self, buf_alloc: u32, forwarded: u32) {
        self.buf_alloc = buf_alloc;
        if forwarded.wrapping_sub(self.forwarded) <= self.in_flight() {
            self.forwarded = forwarded;
        }
    }

    /// Bytes that may be sent now. A sliver is not offered while more is in flight: the rest of the room will come, for
    /// Linux tells at the latest when less than 64 KiB of its buffer is left by its own count.
    pub(super) fn usable(&self) -> usize {
        let free = self.buf_alloc.saturating_sub(self.in_flight());
        let least = LEAST_CREDIT_BYTES.min(self.buf_alloc / 4);
        if free < least {
            return 0;
        }
        usize::try_from(free).unwrap_or(usize::MAX)
    }

    /// Less than a quarter of the guest's buffer is free.
    pub(super) fn is_tight(&self) -> bool {
        self.buf_alloc.saturating_sub(self.in_flight()) < self.buf_alloc / 4
    }

    /// Counts a packet out. The caller sends no more than [`Outbound::usable`].
    pub(super) fn send(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sent = self.sent.wrapping_add(bytes);
    }

    fn in_flight(&self) -> u32 {
        self.sent.wrapping_sub(self.forwarded)
    }
}
