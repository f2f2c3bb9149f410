//! A network device in front of a tap (virtio 1.3, section 5.1). Main type: [`Nic`]. Above: the transport; the monitor gives it open
//! taps, and descriptors of vhost-net where the host has it. Below: `machine`'s [`Tap`] and [`VhostNet`], and the queues.
//!
//! ```text
//!               ┌─ user space: serve ─► receive ◄── readv ──┐
//!  queue pairs ─┤     (a thread)    └─► transmit ── writev ─┼─► tap queue, one per pair
//!               └─ vhost: the kernel works on the rings ────┘
//!  control queue ─► control, in user space either way: how many pairs are in use
//! ```
//!
//! Which features are offered, and what the driver's choice means for the tap, is decided in `features`. Frames that wait in the
//! tap from before the driver was ready are thrown away: they may have been made for another driver's choice.

mod features;

mod serve;

mod receive;
mod transmit;

mod kernel;

mod control;
mod poll;

#[cfg(test)]
mod tests;

use std::{io, os::fd::OwnedFd, sync::Arc};

use machine::{
    memory::GuestRam,
    tap::{HEADER_BYTES, Tap, TapError},
    vhost::VhostNet,
};
use thiserror::Error;
use virtio_bindings::virtio_net::VIRTIO_NET_S_LINK_UP;

use crate::{
    backend::Backend,
    device::{ActivateError, Activation, ActiveQueue, Device, DeviceId},
    limits,
};
use control::Control;
use features::Segmentation;

/// Bytes of the device's configuration up to the MTU (section 5.1.4).
const CONFIG_BYTES: usize = 12;

/// What precedes a frame's payload on Ethernet: two addresses, a type, and a VLAN's tag.
const ETHERNET_BYTES: usize = 18;

/// One pair of queues on the host's side.
#[derive(Debug)]
pub struct NicQueue {
    /// A queue of the tap.
    pub tap: OwnedFd,
    /// /dev/vhost-net, freshly opened.
    pub vhost: Option<OwnedFd>,
}

/// What the guest sees of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The NIC's own address.
    pub mac: [u8; 6],
    /// Largest packet in bytes.
    pub mtu: u16,
}

/// Who moves the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datapath {
    /// The kernel.
    Vhost,
    /// A thread of this process.
    UserSpace,
}

/// A network device before and between its times of work.
#[derive(Debug)]
pub struct Nic {
    link: Link,
    taps: Vec<Arc<Tap>>,
    /// One for each tap, or none.
    vhosts: Vec<Arc<VhostNet>>,
    segmentation: Segmentation,
    queue_sizes: Vec<u16>,
}

/// Why these are no network device.
#[derive(Debug, Error)]
pub enum NicError {
    /// Pairs without number.
    #[error(
        "make a network device of {count} pairs of queues (it takes 1 to {})",
        limits::NIC_PAIRS
    )]
    Pairs {
        /// How many were given.
        count: usize,
    },
    /// A descriptor is no tap, or one of another kind, or does not do as it is told.
    #[error("take the taps of a network device")]
    Tap(#[from] TapError),
    /// The queues belong to several interfaces.
    #[error("make one network device of the taps {first} and {other}")]
    Mixed {
        /// Name of the first queue's interface.
        first: String,
        /// Name of another queue's interface.
        other: String,
    },
    /// An interface that has one queue.
    #[error("take several queues of the tap {name}: it was made without IFF_MULTI_QUEUE")]
    OneQueue {
        /// The interface.
        name: String,
    },
}

impl Nic {
    /// A network device over these queues. Where the kernel does not take the vhost descriptors, or knows too little, they are
    /// closed and the frames go through user space: nothing has been started then.
    ///
    /// # Errors
    /// When the taps can't be used.
    pub fn new(link: Link, queues: Vec<NicQueue>) -> Result<Self, NicError> {
        let count = queues.len();
        if !(1..=limits::NIC_PAIRS).contains(&count) {
            return Err(NicError::Pairs { count });
        }
        let (mut taps, mut vhosts) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for NicQueue { tap, vhost } in queues {
            taps.push(Arc::new(Tap::new(tap)?));
            vhosts.extend(vhost.and_then(vhost_for_us).map(Arc::new));
        }
        if vhosts.len() < count {
            vhosts.clear();
        }
        let segmentation = check_taps(&taps)?;
        let data = std::iter::repeat_n(limits::NIC_QUEUE_ENTRIES, count * 2);
        let control = (count > 1).then_some(limits::NIC_CONTROL_ENTRIES);
        Ok(Self {
            link,
            taps,
            vhosts,
            segmentation,
            queue_sizes: data.chain(control).collect(),
        })
    }

    /// Who moves its frames.
    #[must_use]
    pub fn datapath(&self) -> Datapath {
        if self.vhosts.is_empty() {
            Datapath::UserSpace
        } else {
            Datapath::Vhost
        }
    }

    fn config(&self) -> [u8; CONFIG_BYTES] {
        let [m0, m1, m2, m3, m4, m5] = self.link.mac;
        // VIRTIO_NET_S_LINK_UP is 1.
        let [s0, s1, ..] = VIRTIO_NET_S_LINK_UP.to_le_bytes();
        let pairs = u16::try_from(self.taps.len()).unwrap_or(u16::MAX);
        let [p0, p1] = pairs.to_le_bytes();
        let [t0, t1] = self.link.mtu.to_le_bytes();
        [m0, m1, m2, m3, m4, m5, s0, s1, p0, p1, t0, t1]
    }

    /// Brings the taps to where a driver with these features begins: one pair in use, nothing waiting.
    fn prepare_taps(&self, features: u64) -> io::Result<()> {
        let Some(first) = self.taps.first() else {
            return Ok(());
        };
        // One call is for the whole interface.
        first.set_offloads(features::offloads(features))?;
        for tap in self.taps.iter().skip(1) {
            tap.attach(false)?;
        }
        let stale = (0..limits::NIC_STALE_FRAMES).take_while(|_| first.discard());
        stale.for_each(drop);
        Ok(())
    }

    /// Longest frame that a driver with these features is given, its header included.
    fn longest_frame(&self, features: u64) -> usize {
        let packet = if features::takes_segments(features) {
            u16::MAX
        } else {
            self.link.mtu
        };
        HEADER_BYTES + ETHERNET_BYTES + usize::from(packet)
    }
}

impl Device for Nic {
    fn id(&self) -> DeviceId {
        DeviceId::Network
    }

    fn features(&self) -> u64 {
        features::offered(self.taps.len(), self.segmentation)
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    fn config_read(&self, offset: u64, data: &mut [u8]) {
        let config = self.config();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = config.get(start..).unwrap_or_default();
        for (to, from) in data.iter_mut().zip(rest) {
            *to = *from;
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<Box<dyn Backend>, ActivateError> {
        let Activation {
            memory,
            features,
            queues,
            config_changed: _,
        } = activation;
        let refused = |source| ActivateError::Host {
            id: DeviceId::Network,
            source,
        };
        let (pairs, control) = share_out(queues, features, self.taps.len(), &memory)?;
        self.prepare_taps(features).map_err(refused)?;
        let taps = self.taps.iter().map(Arc::clone);
        if self.vhosts.is_empty() {
            let terms = serve::Terms {
                memory,
                longest: self.longest_frame(features),
                mergeable: features::merges_buffers(features),
            };
            let pairs = taps.zip(pairs).collect();
            let backend = serve::NicBackend::new(&terms, pairs, control).map_err(refused)?;
            return Ok(Box::new(backend));
        }
        let vhosts = self.vhosts.iter().map(Arc::clone);
        let pairs = vhosts.zip(taps).zip(pairs);
        let pairs = pairs.map(|((vhost, tap), queues)| (vhost, tap, queues));
        let backend = kernel::VhostBackend::new(&memory, features, pairs.collect(), control);
        Ok(Box::new(backend.map_err(refused)?))
    }
}

/// A receive and a transmit queue that the driver enabled.
type QueuePair = [ActiveQueue; 2];

/// Which queue is what (section 5.1.2): pairs first; behind them, or where the second pair would be if the driver knows of one pair
/// only, the control queue. Pairs end with the first that is not enabled.
fn share_out(
    queues: Vec<Option<ActiveQueue>>,
    features: u64,
    most: usize,
    memory: &GuestRam,
) -> Result<(Vec<QueuePair>, Option<Control>), ActivateError> {
    let known = if features::has_many_pairs(features) {
        most
    } else {
        1
    };
    let mut queues = queues.into_iter();
    let mut pairs = Vec::with_capacity(known);
    let mut ended = false;
    for index in 0..known {
        match (queues.next().flatten(), queues.next().flatten()) {
            (Some(receive), Some(transmit)) if !ended => pairs.push([receive, transmit]),
            (None, _) if index == 0 => return Err(ActivateError::QueueMissing { index: 0 }),
            (_, None) if index == 0 => return Err(ActivateError::QueueMissing { index: 1 }),
            _ => ended = true,
        }
    }
    if !features::has_control(features) {
        return Ok((pairs, None));
    }
    let index = known * 2;
    let control = queues.next().flatten();
    let control = control.ok_or(ActivateError::QueueMissing { index })?;
    Ok((pairs, Some(Control::new(index, memory, control))))
}

/// A kernel that can do what we offer, or none.
fn vhost_for_us(fd: OwnedFd) -> Option<VhostNet> {
    let vhost = VhostNet::new(fd).ok()?;
    features::kernel_suffices(vhost.features()).then_some(vhost)
}

/// The queues are one interface's; says what its kernel can leave to the reader.
fn check_taps(taps: &[Arc<Tap>]) -> Result<Segmentation, NicError> {
    let Some((first, others)) = taps.split_first() else {
        return Err(NicError::Pairs { count: 0 });
    };
    let name = || first.name().to_owned();
    if let Some(other) = others.iter().find(|other| other.name() != first.name()) {
        return Err(NicError::Mixed {
            first: name(),
            other: other.name().to_owned(),
        });
    }
    if !others.is_empty() && !first.is_multi_queue() {
        return Err(NicError::OneQueue { name: name() });
    }
    let found = Segmentation::of(|offloads| first.set_offloads(offloads));
    let found = found.map_err(first.refused("set the offloads"))?;
    Ok(found)
}
