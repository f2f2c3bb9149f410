//! A guest address that rings an eventfd without an exit to this process. Main type: [`Doorbell`]. Virtio's transport has one per
//! queue and moves it with its BAR.

use std::io;

use kvm_ioctls::{IoEventAddress, NoDatamatch};
use thiserror::Error;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::kvm::Vm;

/// An eventfd that KVM writes when the guest writes to an address (ioeventfd). Rings for nothing until it is moved somewhere;
/// leaves its address when dropped.
#[derive(Debug)]
pub struct Doorbell {
    vm: Vm,
    eventfd: EventFd,
    value: Option<u32>,
    address: Option<u64>,
}

impl Doorbell {
    /// A doorbell at no address yet. With a value it only rings for a 4-byte write of that value, without one for any write.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(vm: &Vm, value: Option<u32>) -> Result<Self, DoorbellError> {
        let eventfd =
            EventFd::new(EFD_NONBLOCK).map_err(|source| DoorbellError::Make { source })?;
        Ok(Self {
            vm: vm.clone(),
            eventfd,
            value,
            address: None,
        })
    }

    /// What rings. Not blocking.
    #[must_use]
    pub fn eventfd(&self) -> &EventFd {
        &self.eventfd
    }

    /// Where it rings now.
    #[must_use]
    pub fn address(&self) -> Option<u64> {
        self.address
    }

    /// Rings at that guest address from now on, or nowhere.
    ///
    /// # Errors
    /// When another doorbell is there already. This one is nowhere then.
    pub fn move_to(&mut self, address: Option<u64>) -> Result<(), DoorbellError> {
        if address == self.address {
            return Ok(());
        }
        self.leave()?;
        let Some(address) = address else {
            return Ok(());
        };
        let place = IoEventAddress::Mmio(address);
        match self.value {
            Some(value) => self.vm.fd().register_ioevent(&self.eventfd, &place, value),
            None => self
                .vm
                .fd()
                .register_ioevent(&self.eventfd, &place, NoDatamatch),
        }
        .map_err(|source| DoorbellError::Move { address, source })?;
        self.address = Some(address);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), DoorbellError> {
        let Some(address) = self.address.take() else {
            return Ok(());
        };
        let place = IoEventAddress::Mmio(address);
        match self.value {
            Some(value) => self
                .vm
                .fd()
                .unregister_ioevent(&self.eventfd, &place, value),
            None => self
                .vm
                .fd()
                .unregister_ioevent(&self.eventfd, &place, NoDatamatch),
        }
        .map_err(|source| DoorbellError::Leave { address, source })
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        // KVM refuses only what it does not know, and then there is nothing to give back.
        self.leave().ok();
    }
}

/// Why a doorbell does not ring.
#[derive(Debug, Error)]
pub enum DoorbellError {
    /// No descriptor.
    #[error("make the eventfd of a doorbell")]
    Make {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// KVM refused the address.
    #[error("put a doorbell at guest address {address:#x}")]
    Move {
        /// Where it should have gone.
        address: u64,
        /// The kernel's answer.
        #[source]
        source: kvm_ioctls::Error,
    },
    /// KVM does not know it at the address.
    #[error("take a doorbell from guest address {address:#x}")]
    Leave {
        /// Where it was.
        address: u64,
        /// The kernel's answer.
        #[source]
        source: kvm_ioctls::Error,
    },
}

#[cfg(test)]
mod tests;
