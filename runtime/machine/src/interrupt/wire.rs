//! Interrupts from devices that work inside the kernel. Main type: [`Wire`], an eventfd that vhost writes; `Wires` are those of one
//! vector. Above: [`MsiVector`](super::MsiVector) joins them.
//!
//! The kernel does not see a vector's mask. So a wire is bound to KVM (irqfd) only while its vector is unmasked: what is written before
//! stays in the eventfd, and KVM takes it when the wire is bound again (virt/kvm/eventfd.c, kvm_irqfd_assign looks at the count).
#![expect(
    unsafe_code,
    reason = "vmm-sys-util's eventfd has only a raw descriptor to give"
)]

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::InterruptError;
use crate::kvm::Vm;

/// An eventfd that somebody in the kernel writes to interrupt the guest.
#[derive(Debug)]
pub struct Wire(EventFd);

/// The wires that lead to one vector. Changed by processors' threads when a driver starts a device or steers its vectors.
#[derive(Debug, Default)]
pub(super) struct Wires(Mutex<Vec<Joined>>);

#[derive(Debug)]
struct Joined {
    wire: Arc<Wire>,
    bound: bool,
}

impl Wire {
    /// A wire that leads nowhere yet.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> Result<Self, InterruptError> {
        let eventfd = EventFd::new(EFD_NONBLOCK);
        eventfd
            .map(Self)
            .map_err(|source| InterruptError::Make { source })
    }

    /// Writes it, as the kernel would.
    pub(crate) fn ring(&self) {
        // Only a counter at its end (EAGAIN) refuses, and then an interrupt is on its way already.
        self.0.write(1).ok();
    }

    /// Was it written since it was last asked or bound?
    fn take(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the eventfd owns the descriptor and is borrowed as long as the result lives.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

impl Wires {
    /// Adds a wire, bound if `now`.
    pub(super) fn join(
        &self,
        (vm, number): (&Vm, u32),
        wire: &Arc<Wire>,
        now: bool,
    ) -> Result<(), InterruptError> {
        let mut joined = Joined {
            wire: Arc::clone(wire),
            bound: false,
        };
        if now {
            joined.bind(vm, number)?;
        }
        self.lock().push(joined);
        Ok(())
    }

    /// Takes a wire away.
    pub(super) fn part(&self, (vm, number): (&Vm, u32), wire: &Arc<Wire>) {
        let mut wires = self.lock();
        if let Some(at) = wires.iter().position(|at| Arc::ptr_eq(&at.wire, wire)) {
            wires.swap_remove(at).unbind(vm, number);
        }
    }

    pub(super) fn bind(&self, (vm, number): (&Vm, u32)) -> Result<(), InterruptError> {
        let mut wires = self.lock();
        wires.iter_mut().try_for_each(|wire| wire.bind(vm, number))
    }

    pub(super) fn unbind(&self, (vm, number): (&Vm, u32)) {
        let mut wires = self.lock();
        wires.iter_mut().for_each(|wire| wire.unbind(vm, number));
    }

    /// Was one of those that are not bound written? Asked once, it is not said again.
    pub(super) fn take(&self) -> bool {
        let wires = self.lock();
        let waiting = wires.iter().filter(|wire| !wire.bound);
        // All of them: each is a wire that rang.
        waiting.fold(false, |rung, joined| joined.wire.take() | rung)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Joined>> {
        // Each change of the list is one insertion or removal: a thread that panicked left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Joined {
    fn bind(&mut self, vm: &Vm, number: u32) -> Result<(), InterruptError> {
        if !self.bound {
            let bound = vm.fd().register_irqfd(&self.wire.0, number);
            bound.map_err(|source| InterruptError::Bind { number, source })?;
            self.bound = true;
        }
        Ok(())
    }

    fn unbind(&mut self, vm: &Vm, number: u32) {
        if std::mem::take(&mut self.bound) {
            // KVM refuses only what it does not know, and then there is nothing to take back.
            vm.fd().unregister_irqfd(&self.wire.0, number).ok();
        }
    }
}
