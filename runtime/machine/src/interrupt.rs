//! Interrupts from this process into the guest. Main types: [`Interrupts`], who has which of KVM's interrupt numbers and what
//! each is routed to, and [`MsiVector`], one of them. `pci`'s MSI-X table steers the vectors, devices trigger them.
//!
//! A vector is an eventfd that KVM turns into an MSI (irqfd). It is in one of three states, all in one atomic so that a trigger on a
//! device's thread and a mask on a processor's thread can't lose an interrupt between them:
//!
//! ```text
//!           mask                trigger
//! off ──► masked ◄──────► masked and pending ──unmask──► on, and rings
//!            └──unmask──► on ◄── trigger: rings at once
//! ```
//!
//! What works inside the kernel (vhost) triggers by a [`Wire`], which the mask cuts.

mod wire;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KvmIrqRouting,
    kvm_irq_routing_entry,
};
use thiserror::Error;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::kvm::Vm;
pub use wire::Wire;
use wire::Wires;

/// Pins of KVM's I/O APIC; the interrupt numbers below are theirs.
const IO_APIC_PINS: u32 = 24;
/// As many as KVM routes (KVM_MAX_IRQ_ROUTES).
const MOST_NUMBERS: u32 = 4096;

/// Hands out interrupt numbers and keeps KVM's routing table. Cheap to clone.
///
/// KVM only takes the whole table at once (KVM_SET_GSI_ROUTING), so changes are collected and go down when a vector is about to be
/// unmasked: a driver that writes all vectors and then enables MSI-X costs one call.
#[derive(Debug, Clone)]
pub struct Interrupts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    vm: Vm,
    /// Taken by processors' threads when the guest's driver steers vectors, never by devices that trigger them.
    routes: Mutex<Routes>,
}

#[derive(Debug, Default)]
struct Routes {
    /// Each number that is taken, with its message once it has one.
    messages: BTreeMap<u32, Option<MsiMessage>>,
    /// KVM's table is older than `messages`.
    stale: bool,
    #[cfg(test)]
    commits: u32,
}

/// What a message-signalled interrupt writes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MsiMessage {
    /// Address, as the driver wrote it to the MSI-X table.
    pub address: u64,
    /// Data, likewise.
    pub data: u32,
}

impl Interrupts {
    /// The interrupts of a machine.
    #[must_use]
    pub fn new(vm: &Vm) -> Self {
        Self {
            shared: Arc::new(Shared {
                vm: vm.clone(),
                routes: Mutex::default(),
            }),
        }
    }

    /// Takes one interrupt number and binds an eventfd to it. The vector is off.
    ///
    /// # Errors
    /// When all numbers are taken, or the kernel refuses.
    pub fn allocate(&self) -> Result<Arc<MsiVector>, InterruptError> {
        let eventfd =
            EventFd::new(EFD_NONBLOCK).map_err(|source| InterruptError::Make { source })?;
        let number = {
            let mut routes = self.routes();
            let number = (IO_APIC_PINS..MOST_NUMBERS)
                .find(|number| !routes.messages.contains_key(number))
                .ok_or(InterruptError::NoneLeft)?;
            routes.messages.insert(number, None);
            number
        };
        let bound = self.shared.vm.fd().register_irqfd(&eventfd, number);
        if let Err(source) = bound {
            self.routes().messages.remove(&number);
            return Err(InterruptError::Bind { number, source });
        }
        Ok(Arc::new(MsiVector {
            interrupts: self.clone(),
            number,
            eventfd,
            state: AtomicU8::new(OFF),
            wires: Wires::default(),
        }))
    }

    /// Binds an eventfd to a pin of the I/O APIC: each write to it is one edge.
    ///
    /// # Errors
    /// When there is no such pin, or the kernel refuses.
    pub fn line(&self, pin: u32) -> Result<Line, InterruptError> {
        if pin >= IO_APIC_PINS {
            return Err(InterruptError::NoPin { pin });
        }
        let eventfd =
            EventFd::new(EFD_NONBLOCK).map_err(|source| InterruptError::Make { source })?;
        self.shared
            .vm
            .fd()
            .register_irqfd(&eventfd, pin)
            .map_err(|source| InterruptError::Bind {
                number: pin,
                source,
            })?;
        Ok(Line {
            _vm: self.shared.vm.clone(),
            eventfd,
        })
    }

    /// Brings KVM's table up to date, if it isn't.
    ///
    /// # Errors
    /// When KVM does not take it (no memory).
    pub(crate) fn commit(&self) -> Result<(), InterruptError> {
        let mut routes = self.routes();
        if !routes.stale {
            return Ok(());
        }
        let table = KvmIrqRouting::from_entries(&routes.entries())
            .map_err(|_too_many| InterruptError::NoneLeft)?;
        self.shared
            .vm
            .fd()
            .set_gsi_routing(&table)
            .map_err(|source| InterruptError::Route { source })?;
        routes.stale = false;
        #[cfg(test)]
        {
            routes.commits += 1;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn commits(&self) -> u32 {
        self.routes().commits
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        // A thread that panicked while it held the table left whole entries behind: each change is one insertion.
        self.shared
            .routes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Routes {
    fn set(&mut self, number: u32, message: Option<MsiMessage>) {
        if self.messages.insert(number, message) != Some(message) {
            self.stale = true;
        }
    }

    /// The table replaces KVM's default one, so the I/O APIC's pins are in it. The PIC's aren't: nobody uses it.
    fn entries(&self) -> Vec<kvm_irq_routing_entry> {
        let vectors = self
            .messages
            .iter()
            .filter_map(|(&number, message)| Some(message_entry(number, (*message)?)));
        (0..IO_APIC_PINS).map(pin_entry).chain(vectors).collect()
    }
}

fn pin_entry(pin: u32) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi: pin,
        type_: KVM_IRQ_ROUTING_IRQCHIP,
        ..Default::default()
    };
    entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
    entry.u.irqchip.pin = pin;
    entry
}

fn message_entry(number: u32, message: MsiMessage) -> kvm_irq_routing_entry {
    let [low, high] = halves(message.address);
    let mut entry = kvm_irq_routing_entry {
        gsi: number,
        type_: KVM_IRQ_ROUTING_MSI,
        ..Default::default()
    };
    entry.u.msi.address_lo = low;
    entry.u.msi.address_hi = high;
    entry.u.msi.data = message.data;
    entry
}

fn halves(address: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}

/// The function has MSI-X disabled: a trigger is lost, as PCI has it.
const OFF: u8 = 0;
/// Triggers reach the guest.
const ON: u8 = 1;
/// A trigger makes it pending.
const MASKED: u8 = 2;
/// A trigger came while it was masked.
const PENDING: u8 = 3;

/// One MSI-X vector. Gives its number back when dropped.
#[derive(Debug)]
pub struct MsiVector {
    interrupts: Interrupts,
    number: u32,
    eventfd: EventFd,
    state: AtomicU8,
    wires: Wires,
}

impl MsiVector {
    /// Interrupts the guest, or makes the vector pending while it is masked (PCI 3.0, 6.8.2.4).
    pub fn trigger(&self) {
        let masked =
            self.state
                .compare_exchange(MASKED, PENDING, Ordering::AcqRel, Ordering::Acquire);
        if masked == Err(ON) {
            self.ring();
        }
    }

    /// A trigger came while the vector was masked, through a wire or otherwise.
    #[must_use]
    pub fn pending(&self) -> bool {
        if self.state.load(Ordering::Acquire) == MASKED && self.wires.take() {
            self.trigger();
        }
        self.state.load(Ordering::Acquire) == PENDING
    }

    /// Lets what is written to the wire interrupt as [`MsiVector::trigger`] does. Only for those who steer the vector too: it
    /// must not be masked or unmasked meanwhile.
    ///
    /// # Errors
    /// When KVM does not take it.
    pub fn join(&self, wire: &Arc<Wire>) -> Result<(), InterruptError> {
        let now = self.state.load(Ordering::Acquire) == ON;
        self.wires.join(self.place(), wire, now)
    }

    /// Undoes [`MsiVector::join`].
    pub fn part(&self, wire: &Arc<Wire>) {
        self.wires.part(self.place(), wire);
    }

    /// Says what a trigger sends. Reaches KVM with [`Interrupts::commit`].
    pub(crate) fn route(&self, message: MsiMessage) {
        self.interrupts.routes().set(self.number, Some(message));
    }

    pub(crate) fn unmask(&self) -> Result<(), InterruptError> {
        if self.state.swap(ON, Ordering::AcqRel) == PENDING {
            self.ring();
        }
        self.wires.bind(self.place())
    }

    pub(crate) fn mask(&self) {
        // Pending stays pending.
        let change = |state| (state != PENDING).then_some(MASKED);
        // An error only says that it was pending.
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, change)
            .ok();
        self.wires.unbind(self.place());
    }

    pub(crate) fn turn_off(&self) {
        self.state.store(OFF, Ordering::Release);
        self.wires.unbind(self.place());
    }

    fn place(&self) -> (&Vm, u32) {
        (&self.interrupts.shared.vm, self.number)
    }

    fn ring(&self) {
        // Only a counter at its end (EAGAIN) refuses, and then an interrupt is on its way already.
        self.eventfd.write(1).ok();
    }
}

impl Drop for MsiVector {
    fn drop(&mut self) {
        self.wires.unbind(self.place());
        let interrupts = &self.interrupts;
        // KVM refuses only what it does not know, and then there is nothing to give back.
        interrupts
            .shared
            .vm
            .fd()
            .unregister_irqfd(&self.eventfd, self.number)
            .ok();
        let mut routes = interrupts.routes();
        if routes.messages.remove(&self.number).flatten().is_some() {
            routes.stale = true;
        }
    }
}

/// An edge-triggered pin of the I/O APIC.
#[derive(Debug)]
pub struct Line {
    /// KVM lets go of all eventfds when the machine's descriptor is closed, whether processors still run or not.
    _vm: Vm,
    eventfd: EventFd,
}

impl Line {
    /// Interrupts the guest.
    pub fn trigger(&self) {
        // Only a counter at its end (EAGAIN) refuses, and then an interrupt is on its way already.
        self.eventfd.write(1).ok();
    }
}

/// Why there is no interrupt.
#[derive(Debug, Error)]
pub enum InterruptError {
    /// No descriptor.
    #[error("make the eventfd of an interrupt")]
    Make {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Thousands of vectors are in use.
    #[error("take an interrupt number: all {MOST_NUMBERS} are taken")]
    NoneLeft,
    /// The I/O APIC has fewer pins.
    #[error("use pin {pin} of the I/O APIC: it has {IO_APIC_PINS}")]
    NoPin {
        /// The one asked for.
        pin: u32,
    },
    /// KVM refused the eventfd.
    #[error("bind an eventfd to interrupt {number}")]
    Bind {
        /// KVM's number of the interrupt.
        number: u32,
        /// The kernel's answer.
        #[source]
        source: kvm_ioctls::Error,
    },
    /// KVM refused the table.
    #[error("set the interrupt routes")]
    Route {
        /// The kernel's answer.
        #[source]
        source: kvm_ioctls::Error,
    },
}

#[cfg(test)]
mod tests;
