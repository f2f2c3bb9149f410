//! The event queue, on which the guest learns that its connections are lost (virtio 1.3, section 5.10.6.7). Main type:
//! [`Announcer`]. Above: `backend`. For after a restore: the guest believes in connections that this process never had.
//!
//! ```text
//! Quiet ──raise──► Due ──the driver has an event buffer──► Told ──the driver puts a buffer back──► Quiet
//! ```
//!
//! A driver handles an event before it puts its buffer back, so until then nothing is sent to it: a request that overtakes
//! the reset would meet an old connection, or be swept away with it. Nothing but [`Announcer::raise`] shuts this gate.

use crate::{
    backend::BackendError,
    queue::{Ring, chain::Chain},
    vsock::limits,
};

/// VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, as `struct virtio_vsock_event`.
const TRANSPORT_RESET: [u8; 4] = [0; 4];

/// The event queue and whether the gate is open.
#[derive(Debug)]
pub(super) struct Announcer {
    ring: Ring,
    chain: Chain,
    gate: Gate,
    /// Event buffers to give back, in order.
    heads: Vec<(u16, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Quiet,
    Due,
    Told,
}

impl Announcer {
    pub(super) fn new(ring: Ring) -> Self {
        Self {
            chain: ring.chain(),
            ring,
            gate: Gate::Quiet,
            heads: Vec::with_capacity(usize::from(limits::QUEUE_SIZES[2])),
        }
    }

    /// The guest's connections are lost.
    pub(super) fn raise(&mut self) {
        self.gate = Gate::Due;
    }

    /// May packets go to the guest?
    pub(super) fn is_open(&self) -> bool {
        self.gate == Gate::Quiet
    }

    /// Tells the guest if that is due and possible, and opens the gate when it has heard.
    pub(super) fn step(&mut self) -> Result<(), BackendError> {
        if self.gate == Gate::Due {
            self.tell()?;
        }
        if self.gate == Gate::Told && (self.ring.has_request()? || self.ring.arm()?) {
            self.gate = Gate::Quiet;
        }
        Ok(())
    }

    /// Takes every buffer, so that the next one seen is one that the driver put back. The first carries the event, the others go
    /// back empty, after it: Linux takes an entry of another length than an event's for nothing, and posts it again.
    fn tell(&mut self) -> Result<(), BackendError> {
        self.heads.clear();
        let mut told = false;
        for _ in 0..self.ring.size() {
            if !self.ring.pop(&mut self.chain)? {
                break;
            }
            let mut written = 0;
            if !told && self.chain.writable.copy_from(0, &TRANSPORT_RESET).is_ok() {
                (told, written) = (true, 4);
            }
            self.heads.push((self.chain.head(), written));
        }
        // A buffer that was too short for the event may come before it; it must not be taken for the answer.
        self.heads.sort_by_key(|(_head, written)| *written == 0);
        for (head, written) in &self.heads {
            self.ring.push(*head, *written)?;
        }
        self.ring.signal()?;
        match told {
            true => self.gate = Gate::Told,
            // The driver has no buffer: wait for one.
            false if self.ring.arm()? => return self.tell_again(),
            false => {}
        }
        Ok(())
    }

    /// A buffer came between the look and the wait. Once is enough: `arm` was said, the next one rings.
    fn tell_again(&mut self) -> Result<(), BackendError> {
        match self.ring.has_request()? && self.heads.is_empty() {
            true => self.tell(),
            false => Ok(()),
        }
    }
}
