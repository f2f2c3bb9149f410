//! The IOMMU domain of one guest: all of its RAM, mapped for DMA at its guest addresses, and the functions that may reach it. Main type:
//! [`Container`], over descriptors that somebody else opened. Below: [`type1`] and [`iommufd`], the kernel's two interfaces. Beside it:
//! `kernel`, what a function is once it is open.
//!
//! ```text
//! type 1    /dev/vfio/vfio ◄─ joins ─ /dev/vfio/GROUP ─► the function, by its address on the host
//! iommufd   /dev/iommu ─► an address space ◄─ attaches ─ /dev/vfio/devices/vfioN, the function itself
//! ```

mod iommufd;
#[cfg(test)]
mod tests;
mod type1;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

use super::{Device, KvmGroups, VfioError};
use crate::memory::GuestRam;

pub use iommufd::account_by_process;

/// The IOMMU domain of one guest. Ends with the last function.
#[derive(Debug)]
pub struct Container {
    domain: Domain,
    /// KVM's interest in the groups or devices (cache coherency).
    kvm: KvmGroups,
    /// What is pinned stays mapped as long.
    ram: GuestRam,
}

#[derive(Debug)]
enum Domain {
    Type1 {
        groups: Vec<OwnedFd>,
        /// The mappings in the IOMMU go with it.
        _container: OwnedFd,
    },
    Iommufd {
        cdevs: Vec<OwnedFd>,
        /// The mappings in the IOMMU go with it.
        iommufd: OwnedFd,
        address_space: u32,
    },
}

impl Domain {
    /// Those of groups or of functions.
    fn files(&self) -> &[OwnedFd] {
        match self {
            Self::Type1 { groups, .. } => groups,
            Self::Iommufd { cdevs, .. } => cdevs,
        }
    }
}

impl Container {
    /// Joins the groups to the container of type 1, and maps all of the guest's RAM for DMA. Nothing can reach the RAM yet.
    ///
    /// # Errors
    /// When a descriptor is something else, a group is not viable, or the RAM can't be pinned.
    pub fn type1(
        kvm: &KvmGroups,
        ram: &GuestRam,
        container: OwnedFd,
        groups: Vec<OwnedFd>,
    ) -> Result<Self, VfioError> {
        type1::join(container.as_fd(), &groups)?;
        type1::map(container.as_fd(), ram)?;
        let domain = Domain::Type1 {
            groups,
            _container: container,
        };
        Self::known(kvm, ram, domain)
    }

    /// Makes an address space of iommufd with all of the guest's RAM. Nothing can reach the RAM yet; each of these functions will.
    ///
    /// # Errors
    /// When a descriptor is something else, or the RAM can't be pinned.
    pub fn iommufd(
        kvm: &KvmGroups,
        ram: &GuestRam,
        iommufd: OwnedFd,
        cdevs: Vec<OwnedFd>,
    ) -> Result<Self, VfioError> {
        let address_space = iommufd::make(iommufd.as_fd())?;
        iommufd::map(iommufd.as_fd(), address_space, ram)?;
        let domain = Domain::Iommufd {
            cdevs,
            iommufd,
            address_space,
        };
        Self::known(kvm, ram, domain)
    }

    /// One that KVM knows of. Before a function is bound, for that is when its driver looks who its KVM is.
    fn known(kvm: &KvmGroups, ram: &GuestRam, domain: Domain) -> Result<Self, VfioError> {
        let container = Self {
            domain,
            kvm: kvm.clone(),
            ram: ram.clone(),
        };
        for file in container.domain.files() {
            kvm.add(file.as_fd())?;
        }
        Ok(container)
    }

    /// Opens a function by its address on the host, and resets it: of the group at this place, or the cdev at it.
    ///
    /// # Errors
    /// When it is not in that group, somebody else has it, is none of PCI, or does not come out of the reset.
    pub fn open(self: &Arc<Self>, place: usize, function: &str) -> Result<Device, VfioError> {
        let missing = || VfioError::NoNode {
            function: function.to_owned(),
            place,
        };
        let fd = match &self.domain {
            Domain::Type1 { groups, .. } => {
                type1::open(groups.get(place).ok_or_else(missing)?.as_fd(), function)?
            }
            Domain::Iommufd {
                cdevs,
                iommufd,
                address_space,
            } => {
                let cdev = cdevs.get(place).ok_or_else(missing)?;
                let bytes = self.ram.iter().map(GuestMemoryRegion::len).sum();
                let space = (*address_space, bytes);
                iommufd::attach(cdev.as_fd(), iommufd.as_fd(), space, function)?;
                let attempt = "take the descriptor";
                cdev.try_clone().map_err(of_function(function, attempt))?
            }
        };
        Device::of(function, fd, Arc::clone(self))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for file in self.domain.files() {
            self.kvm.remove(file.as_fd());
        }
    }
}

fn of_container(attempt: &'static str) -> impl FnOnce(io::Error) -> VfioError {
    move |source| VfioError::Refused { attempt, source }
}

fn of_function(function: &str, attempt: &'static str) -> impl FnOnce(io::Error) -> VfioError {
    let function = function.to_owned();
    move |source| VfioError::Function {
        function,
        attempt,
        source,
    }
}
