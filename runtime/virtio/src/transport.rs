//! Makes a device a function on the PCI bus (virtio 1.3, section 4.1, modern only). Main type: [`VirtioPci`]. Below: `machine`'s
//! configuration space, MSI-X and doorbells; the modules hold the registers and decide what writes mean. Above: the monitor puts
//! it on the bus.
//!
//! ```text
//!  driver's access ──► window of the BAR ──► Registers decide ──► Effect ──► start: Device::activate ──► Stage::run
//!                                                                  └─────► reset: Running::stop, all registers anew
//! ```

mod capability;
mod registers;
mod signal;
mod status;
mod watch;

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use machine::{
    doorbell::{Doorbell, DoorbellError},
    interrupt::{Interrupts, MsiVector, Wire},
    kvm::Vm,
    memory::GuestRam,
    pci::{
        Bar, BarChange, BarError, BarSpec, BarWidth, CapabilityError, ConfigSpace, Identity, Msix,
        MsixError, PciFunction,
    },
};
use thiserror::Error;
use virtio_queue::Queue;

use crate::{
    backend::{Interrupt, Kick, Running, Stage},
    device::{ActivateError, Activation, ActiveQueue, Device, DeviceId},
};
use capability::{BAR, BAR_BYTES, ConfigAccess, MOST_QUEUES, Window};

use registers::{Effect, Live, Registers};
use signal::Signals;
use watch::{Failure, Watched};

/// Vendor of all virtio devices, and what their device ids start from (section 4.1.2).
const VENDOR: u16 = 0x1af4;
const FIRST_DEVICE: u16 = 0x1040;

/// Not a transitional device (section 4.1.2.1).
const SUBSYSTEM: u16 = 0x40;

/// What of the machine a function is bound to.
#[derive(Debug)]
pub struct Mount<'a> {
    /// For doorbells.
    pub vm: &'a Vm,
    /// For vectors.
    pub interrupts: &'a Interrupts,
    /// The guest's memory.
    pub memory: &'a GuestRam,
    /// Where the device's backend will run.
    pub stage: Box<dyn Stage>,
}

/// A virtio device as a PCI function.
#[derive(Debug)]
pub struct VirtioPci {
    config: ConfigSpace,
    config_access: ConfigAccess,
    registers: Registers,
    device: Box<dyn Device>,
    memory: GuestRam,
    stage: Box<dyn Stage>,
    /// While the device works.
    running: Option<Box<dyn Running>>,
    /// Until the function leaves the bus.
    wires: Option<Wires>,
}

/// What is bound to the machine.
#[derive(Debug)]
struct Wires {
    msix: Msix,
    doorbells: Vec<Doorbell>,
    signals: Signals,
    failure: Failure,
}

/// Why a device can't be made a function.
#[derive(Debug, Error)]
pub enum TransportError {
    /// More than the doorbells' and vectors' windows hold.
    #[error("make a PCI function of a device with {count} queues: it can have up to {MOST_QUEUES}")]
    QueueCount {
        /// How many it has.
        count: usize,
    },
    /// No room in the header.
    #[error("give a virtio function its BAR")]
    Bar(#[from] BarError),
    /// No room for a capability.
    #[error("give a virtio function its capabilities")]
    Capability(#[from] CapabilityError),
    /// No vectors.
    #[error("give a virtio function its vectors")]
    Msix(#[from] MsixError),
    /// No doorbell.
    #[error("give a virtio function its doorbells")]
    Doorbell(#[from] DoorbellError),
}

/// Why a device did not start when the driver was ready.
#[derive(Debug, Error)]
enum StartError {
    #[error("share the doorbell of queue {queue}")]
    Doorbell {
        queue: usize,
        #[source]
        source: io::Error,
    },
    #[error("activate the device")]
    Activate(#[from] ActivateError),
    #[error("find a thread for the device's work")]
    Stage(#[source] io::Error),
}

impl VirtioPci {
    /// Makes a function that can be put on the bus.
    ///
    /// # Errors
    /// When the host has no eventfd or interrupt left, or the device has too many queues.
    pub fn new(device: Box<dyn Device>, mount: Mount<'_>) -> Result<Self, TransportError> {
        let sizes = device.queue_sizes();
        let count = sizes.len();
        let queues = u16::try_from(count).ok();
        let queues = queues.filter(|_| count <= MOST_QUEUES);
        let queues = queues.ok_or(TransportError::QueueCount { count })?;
        let mut config = ConfigSpace::new(&identity(device.id()));
        config.add_bar(BarSpec {
            bar: BAR,
            size: BAR_BYTES,
            width: BarWidth::Bits64,
        })?;
        let config_access = capability::add(&mut config, queues)?;
        let wires = Wires::new(&mount, queues, &mut config)?;
        Ok(Self {
            registers: Registers::new(device.features(), sizes, queues + 1),
            config,
            config_access,
            device,
            memory: mount.memory.clone(),
            stage: mount.stage,
            running: None,
            wires: Some(wires),
        })
    }

    fn read_window(&mut self, window: Window, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let live = self.live();
        let Some(wires) = &self.wires else {
            return;
        };
        match window {
            Window::Common => self.registers.read(offset, data, live),
            Window::Isr => {
                if let ([byte, ..], 0) = (data, offset) {
                    *byte = wires.signals.take_isr();
                }
            }
            Window::Device => self.device.config_read(offset, data),
            Window::Notify => {}
            Window::MsixTable => wires.msix.table_read(offset, data),
            Window::MsixPending => wires.msix.pending_read(offset, data),
        }
    }

    fn write_window(&mut self, window: Window, offset: u64, data: &[u8]) {
        match window {
            Window::Common => {
                let effect = self.registers.write(offset, data, &self.memory);
                self.apply(effect);
            }
            Window::Notify => {
                // An ioeventfd takes these where it can; what comes here came through configuration space.
                let wires = self.wires.as_ref();
                let queue = capability::rung(offset);
                let doorbell = wires
                    .zip(queue)
                    .and_then(|(wires, at)| wires.doorbells.get(at));
                // A counter at its end has rung already.
                doorbell.map(|doorbell| doorbell.eventfd().write(1).ok());
            }
            Window::MsixTable => {
                let Some(wires) = &mut self.wires else {
                    return;
                };
                if wires.msix.table_write(offset, data).is_err() {
                    wires.failure.set();
                }
            }
            // No device of ours has configuration that the driver writes.
            Window::Isr | Window::Device | Window::MsixPending => {}
        }
    }

    fn apply(&mut self, effect: Effect) {
        let Some(wires) = &self.wires else {
            return;
        };
        match effect {
            Effect::None => {}
            Effect::Reset => self.reset(),
            Effect::Start => self.start(),
            Effect::ConfigVector(vector) => wires.signals.choose_for_config(vector),
            Effect::QueueVector { queue, vector } => {
                if wires.signals.choose_for_queue(queue, vector).is_err() {
                    wires.failure.set();
                }
            }
        }
    }

    /// The driver is ready. If the device is not, the driver sees that it must reset it.
    fn start(&mut self) {
        match self.try_start() {
            Ok(running) => self.running = running,
            Err(error) => {
                self.stage.not_started(self.device.id(), &error);
                self.wires.iter().for_each(|wires| wires.failure.set());
            }
        }
    }

    fn try_start(&mut self) -> Result<Option<Box<dyn Running>>, StartError> {
        let Some(wires) = &self.wires else {
            return Ok(None);
        };
        let queues = self.registers.queues(&self.memory).enumerate();
        let queues = queues.map(|(index, queue)| wires.activate_queue(index, queue));
        let activation = Activation {
            memory: self.memory.clone(),
            features: self.registers.features(),
            queues: queues.collect::<Result<_, _>>()?,
            config_changed: wires.signals.config(),
        };
        let backend = self.device.activate(activation)?;
        let watched = Watched::new(backend, wires.failure.clone());
        let running = self.stage.run(Box::new(watched));
        running.map(Some).map_err(StartError::Stage)
    }

    /// Stops the device and forgets what the driver set up. The vectors' table is PCI's and stays.
    fn reset(&mut self) {
        self.stop();
        self.registers.reset();
        if let Some(wires) = &self.wires {
            wires.signals.reset();
            wires.failure.clear();
        }
    }

    fn stop(&mut self) {
        self.running.take().into_iter().for_each(Running::stop);
    }

    fn live(&self) -> Live {
        let ended = self
            .running
            .as_ref()
            .is_some_and(|running| running.failed());
        let failed = |wires: &Wires| wires.failure.happened() || ended;
        let needs_reset = self.wires.as_ref().is_some_and(failed);
        Live {
            status: if needs_reset { status::NEEDS_RESET } else { 0 },
            generation: self
                .wires
                .as_ref()
                .map_or(0, |wires| wires.signals.generation()),
        }
    }
}

impl Wires {
    fn new(
        mount: &Mount<'_>,
        queues: u16,
        config: &mut ConfigSpace,
    ) -> Result<Self, TransportError> {
        let vectors = queues + 1;
        let msix = Msix::new(mount.interrupts, vectors, config, capability::MSIX)?;
        let triggers = (0..vectors).filter_map(|index| msix.vector(index));
        let triggers = triggers.map(|vector| {
            let trigger: Arc<dyn Interrupt> = Arc::new(Vector(vector));
            trigger
        });
        let signals = Signals::new(triggers.collect(), queues.into());
        // No value: any write rings, and the kernel needs not look at it.
        let doorbells = (0..queues).map(|_| Doorbell::new(mount.vm, None));
        Ok(Self {
            msix,
            doorbells: doorbells.collect::<Result<_, _>>()?,
            failure: Failure::new(signals.config()),
            signals,
        })
    }

    fn activate_queue(
        &self,
        index: usize,
        queue: Option<Queue>,
    ) -> Result<Option<ActiveQueue>, StartError> {
        let wire = self.doorbells.get(index).zip(self.signals.queue(index));
        let Some((queue, (doorbell, notifier))) = queue.zip(wire) else {
            return Ok(None);
        };
        let kick = doorbell.eventfd().try_clone();
        let kick = kick.map_err(|source| StartError::Doorbell {
            queue: index,
            source,
        })?;
        Ok(Some(ActiveQueue {
            queue,
            kick: Kick(kick),
            notifier,
        }))
    }

    /// Doorbells go where the BAR goes. One that can't be there costs an exit for each ring, and works.
    fn follow(&mut self, bar: Option<u64>) {
        for (doorbell, queue) in self.doorbells.iter_mut().zip(0..) {
            let address = bar.and_then(|bar| bar.checked_add(capability::doorbell(queue)));
            doorbell.move_to(address).ok();
        }
    }
}

impl PciFunction for VirtioPci {
    fn config_read(&mut self, offset: u16, data: &mut [u8]) {
        if offset == self.config_access.data()
            && let Some((target, length)) = self.config_access.target(&self.config)
            && let Some((window, within)) = capability::find(target)
        {
            let mut bytes = [0; 4];
            if let Some(bytes) = bytes.get_mut(..length) {
                self.read_window(window, within, bytes);
            }
            self.config.set(offset, &bytes);
        }
        self.config.read(offset, data);
    }

    fn config_write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        let changes = self.config.write(offset, data);
        if let Some(wires) = &mut self.wires
            && wires.msix.config_written(&self.config).is_err()
        {
            wires.failure.set();
        }
        if offset == self.config_access.data()
            && let Some((target, length)) = self.config_access.target(&self.config)
            && let Some((window, within)) = capability::find(target)
            && let Some(bytes) = data.get(..length)
        {
            self.write_window(window, within, bytes);
        }
        changes
    }

    fn bars(&self) -> Vec<(Bar, u64, Option<u64>)> {
        self.config.bars()
    }

    fn bar_moved(&mut self, change: BarChange) {
        if let Some(wires) = &mut self.wires {
            wires.follow(change.to);
        }
    }

    fn bar_read(&mut self, bar: Bar, offset: u64, data: &mut [u8]) {
        match capability::find(offset) {
            Some((window, within)) if bar == BAR => self.read_window(window, within, data),
            _ => data.fill(0xff),
        }
    }

    fn bar_write(&mut self, bar: Bar, offset: u64, data: &[u8]) {
        if let Some((window, within)) = capability::find(offset).filter(|_| bar == BAR) {
            self.write_window(window, within, data);
        }
    }

    fn unplug(&mut self) {
        self.stop();
        self.wires = None;
    }
}

impl Drop for VirtioPci {
    fn drop(&mut self) {
        // Whoever drops a function without unplugging it must not leave a thread behind that works on guest memory.
        self.stop();
    }
}

/// One of the function's MSI-X vectors.
#[derive(Debug)]
struct Vector(Arc<MsiVector>);

impl Interrupt for Vector {
    fn trigger(&self) {
        self.0.trigger();
    }

    fn join(&self, wire: &Arc<Wire>) -> io::Result<()> {
        self.0.join(wire).map_err(io::Error::other)
    }

    fn part(&self, wire: &Arc<Wire>) {
        self.0.part(wire);
    }
}

fn identity(id: DeviceId) -> Identity {
    let class = match id {
        // Mass storage, other.
        DeviceId::Block => [0x01, 0x80, 0],
        // Network, Ethernet.
        DeviceId::Network => [0x02, 0, 0],
        // Nothing that there is a class for.
        DeviceId::Entropy | DeviceId::FileSystem => [0xff, 0, 0],
        // Communication, other.
        DeviceId::Socket => [0x07, 0x80, 0],
    };
    Identity {
        vendor: VENDOR,
        device: FIRST_DEVICE + id.number(),
        revision: 1,
        class,
        subsystem_vendor: VENDOR,
        subsystem: SUBSYSTEM,
    }
}
