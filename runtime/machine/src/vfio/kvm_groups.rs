//! KVM's interest in VFIO's groups and devices, which it is told alike: whether their DMA bypasses the caches decides what it does with WBINVD
//! (Documentation/virt/kvm/devices/vfio.rst). Main type: [`KvmGroups`]. A machine can have one of KVM's VFIO devices, and older kernels keep
//! it until the machine ends; so it is made once, and what it knows of comes and goes.

use std::{
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    sync::Arc,
};

use kvm_bindings::{
    KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, KVM_DEV_VFIO_GROUP_DEL, kvm_create_device,
    kvm_device_attr, kvm_device_type_KVM_DEV_TYPE_VFIO,
};
use kvm_ioctls::DeviceFd;

use super::VfioError;
use crate::kvm::{KvmError, Vm, refused};

/// The groups of one machine, as KVM knows them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KvmGroups(Arc<DeviceFd>);

impl KvmGroups {
    /// For a machine that has none yet.
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn new(vm: &Vm) -> Result<Self, KvmError> {
        let mut create = kvm_create_device {
            type_: kvm_device_type_KVM_DEV_TYPE_VFIO,
            fd: 0,
            flags: 0,
        };
        let device = vm.fd().create_device(&mut create);
        let device = device.map_err(refused("make KVM's VFIO device"))?;
        Ok(Self(Arc::new(device)))
    }

    /// It takes nothing but VFIO's own files.
    pub(super) fn add(&self, group: BorrowedFd<'_>) -> Result<(), VfioError> {
        let added = self.set(KVM_DEV_VFIO_GROUP_ADD, group);
        added.map_err(|error| match error.errno() {
            libc::EINVAL => VfioError::Not {
                what: "a VFIO group or cdev",
            },
            _ => refused("tell KVM of a VFIO group or cdev")(error).into(),
        })
    }

    /// KVM keeps a group open that it knows of, so the host would not have it back. One that it does not know is fine.
    pub(super) fn remove(&self, group: BorrowedFd<'_>) {
        self.set(KVM_DEV_VFIO_GROUP_DEL, group).ok();
    }

    fn set(&self, what: u32, group: BorrowedFd<'_>) -> Result<(), kvm_ioctls::Error> {
        let number = group.as_raw_fd();
        let attribute = kvm_device_attr {
            flags: 0,
            group: KVM_DEV_VFIO_GROUP,
            attr: what.into(),
            addr: ptr::from_ref(&number).addr() as u64,
        };
        self.0.set_device_attr(&attribute)
    }
}
