//! The control queue of a network device (virtio 1.3, section 5.1.6.5). Main type: [`Control`]. The one command is how many pairs of
//! queues are in use (5.1.6.5.6); the others belong to features that are not offered. Above: `serve` and `kernel`, which do it.

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};

use machine::memory::GuestRam;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_ERR, VIRTIO_NET_OK,
};

use crate::{
    backend::{BackendError, Kick},
    device::ActiveQueue,
    limits,
    queue::{Ring, chain::Chain},
};

/// Class, command, and a number of 16 bits.
const COMMAND_BYTES: usize = 4;

/// The queue with its request in hand.
#[derive(Debug)]
pub(super) struct Control {
    ring: Ring,
    kick: Kick,
    chain: Chain,
}

impl Control {
    pub(super) fn new(index: usize, memory: &GuestRam, queue: ActiveQueue) -> Self {
        let (ring, kick) = Ring::new(index, memory.clone(), queue);
        Self {
            chain: ring.chain(),
            ring,
            kick,
        }
    }

    /// Takes commands, up to a bound; true when there may be more. `use_pairs` says whether it did what was asked for.
    pub(super) fn serve(
        &mut self,
        mut use_pairs: impl FnMut(u16) -> bool,
    ) -> Result<bool, BackendError> {
        self.ring.disarm()?;
        for _ in 0..limits::NIC_COMMANDS_PER_RUN {
            if self.ring.pop(&mut self.chain)? {
                let answer = match self.command() {
                    Some(pairs) if use_pairs(pairs) => VIRTIO_NET_OK,
                    _ => VIRTIO_NET_ERR,
                };
                let answer = u8::try_from(answer).unwrap_or(u8::MAX);
                let written = self.chain.writable.copy_from(0, &[answer]);
                self.ring
                    .push(self.chain.head(), u32::from(written.is_ok()))?;
            } else if !self.ring.arm()? {
                self.ring.signal()?;
                return Ok(false);
            }
        }
        self.ring.signal()?;
        Ok(true)
    }

    /// The number of pairs asked for, if that is what is asked.
    fn command(&self) -> Option<u16> {
        let mut bytes = [0; COMMAND_BYTES];
        self.chain.readable.copy_to(0, &mut bytes).ok()?;
        let [class, command, low, high] = bytes;
        let is_pairs = u32::from(class) == VIRTIO_NET_CTRL_MQ
            && u32::from(command) == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET
            && self.chain.readable.len() == COMMAND_BYTES;
        is_pairs.then(|| u16::from_le_bytes([low, high]))
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kick.as_fd()
    }
}
