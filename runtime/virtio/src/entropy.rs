//! Random numbers for the guest (virtio 1.3, section 5.4). Main type: [`Entropy`]. Below: the host kernel's generator, whose
//! numbers go into guest memory directly. Above: the transport.
//!
//! The guest chooses how many bytes it asks for and how often; a cap on each request and on each run keeps it from using more than
//! its turn of the thread that it shares with other devices.

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};

use crate::{
    backend::{Backend, BackendError, Kick},
    device::{ActivateError, Activation, Device, DeviceId},
    limits,
    queue::{Ring, chain::Chain},
};

/// The device. It has no configuration and no features.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entropy;

impl Device for Entropy {
    fn id(&self) -> DeviceId {
        DeviceId::Entropy
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[limits::ENTROPY_QUEUE_ENTRIES]
    }

    fn config_read(&self, _offset: u64, _data: &mut [u8]) {}

    fn activate(&mut self, mut activation: Activation) -> Result<Box<dyn Backend>, ActivateError> {
        let queue = activation.queues.get_mut(0).and_then(Option::take);
        let queue = queue.ok_or(ActivateError::QueueMissing { index: 0 })?;
        let (ring, kick) = Ring::new(0, activation.memory, queue);
        let chain = ring.chain();
        Ok(Box::new(EntropyBackend { ring, kick, chain }))
    }
}

/// The device at work.
#[derive(Debug)]
struct EntropyBackend {
    ring: Ring,
    kick: Kick,
    chain: Chain,
}

impl EntropyBackend {
    /// Answers one request; says how many bytes it got.
    fn answer(&mut self) -> Result<usize, BackendError> {
        let length = self.chain.writable.len();
        // The driver takes any number above 0 and asks again (5.4.6.2).
        let length = length.min(limits::ENTROPY_BYTES_PER_REQUEST);
        let filled = self.chain.writable.fill_with_random(0..length);
        filled.map_err(|source| BackendError::Host {
            attempt: "get random numbers from the host",
            source,
        })?;
        let written = u32::try_from(length).unwrap_or(u32::MAX);
        self.ring.push(self.chain.head(), written)?;
        Ok(length)
    }
}

impl Backend for EntropyBackend {
    fn wake(&self) -> BorrowedFd<'_> {
        self.kick.as_fd()
    }

    fn run(&mut self) -> Result<(), BackendError> {
        self.kick.clear()?;
        let mut bytes = 0;
        for _ in 0..limits::ENTROPY_REQUESTS_PER_RUN {
            if bytes >= limits::ENTROPY_BYTES_PER_RUN {
                break;
            }
            if self.ring.pop(&mut self.chain)? {
                bytes += self.answer()?;
            } else if !self.ring.arm()? {
                return self.ring.signal();
            }
        }
        self.ring.signal()?;
        self.kick.again()
    }
}
