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
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr,
    sync::Arc,
};

use kvm_bindings::{
    KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, kvm_create_device, kvm_device_attr,
    kvm_device_type_KVM_DEV_TYPE_VFIO,
};
use kvm_ioctls::DeviceFd;
use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

use super::{Device, VfioError};
use crate::{kvm::Vm, kvm::refused, memory::GuestRam};

pub use iommufd::account_by_process;

/// The IOMMU domain of one guest. Ends with the last function.
#[derive(Debug)]
pub struct Container {
    domain: Domain,
    /// Holds KVM's interest in the groups or devices (cache coherency).
    _kvm: DeviceFd,
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

impl Container {
    /// Joins the groups to the container of type 1, and maps all of the guest's RAM for DMA. Nothing can reach the RAM yet.
    ///
    /// # Errors
    /// When a descriptor is something else, a group is not viable, or the RAM can't be pinned.
    pub fn type1(
        vm: &Vm,
        ram: &GuestRam,
        container: OwnedFd,
        groups: Vec<OwnedFd>,
    ) -> Result<Self, VfioError> {
        type1::join(container.as_fd(), &groups)?;
        type1::map(container.as_fd(), ram)?;
        Ok(Self {
            _kvm: tell_kvm(vm, &groups)?,
            domain: Domain::Type1 {
                groups,
                _container: container,
            },
            ram: ram.clone(),
        })
    }

    /// Makes an address space of iommufd with all of the guest's RAM. Nothing can reach the RAM yet; each of these functions will.
    ///
    /// # Errors
    /// When a descriptor is something else, or the RAM can't be pinned.
    pub fn iommufd(
        vm: &Vm,
        ram: &GuestRam,
        iommufd: OwnedFd,
        cdevs: Vec<OwnedFd>,
    ) -> Result<Self, VfioError> {
        let address_space = iommufd::make(iommufd.as_fd())?;
        iommufd::map(iommufd.as_fd(), address_space, ram)?;
        Ok(Self {
            // Before a function is bound: that is when its driver looks who its KVM is.
            _kvm: tell_kvm(vm, &cdevs)?,
            domain: Domain::Iommufd {
                cdevs,
                iommufd,
                address_space,
            },
            ram: ram.clone(),
        })
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

/// KVM has to know: whether DMA bypasses the caches decides what it does with WBINVD (Documentation/virt/kvm/devices/vfio.rst). A group and
/// a cdev are told alike.
fn tell_kvm(vm: &Vm, files: &[OwnedFd]) -> Result<DeviceFd, VfioError> {
    let mut create = kvm_create_device {
        type_: kvm_device_type_KVM_DEV_TYPE_VFIO,
        fd: 0,
        flags: 0,
    };
    let device = vm.fd().create_device(&mut create);
    let device = device.map_err(refused("make KVM's VFIO device"))?;
    for file in files {
        let number = file.as_raw_fd();
        let attribute = kvm_device_attr {
            flags: 0,
            group: KVM_DEV_VFIO_GROUP,
            attr: KVM_DEV_VFIO_GROUP_ADD.into(),
            addr: ptr::from_ref(&number).addr() as u64,
        };
        let added = device.set_device_attr(&attribute);
        added.map_err(refused("tell KVM of a VFIO group or device"))?;
    }
    Ok(device)
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
