//! The virtual machine in the kernel. Main type: [`Vm`], made from a descriptor of /dev/kvm that somebody else opened.
//! Neighbours: `processor` adds virtual processors, `interrupt` and `doorbell` bind eventfds to it.
#![expect(
    unsafe_code,
    reason = "kvm-ioctls takes raw descriptors and host addresses"
)]

use std::{
    collections::BTreeSet,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kvm_bindings::{
    KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE, kvm_enable_cap, kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, Kvm, VmFd};
use thiserror::Error;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};

use crate::memory::{GuestRam, IDENTITY_MAP, TASK_STATE};

/// The only version of the API that there ever was (kernel, Documentation/virt/kvm/api.rst, 4.1).
const API_VERSION: i32 = 12;

/// What the machine can't do without, by the name that the kernel's documentation uses.
const NEEDED: [(Cap, &str); 9] = [
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::SetTssAddr, "KVM_CAP_SET_TSS_ADDR"),
    (Cap::SetIdentityMapAddr, "KVM_CAP_SET_IDENTITY_MAP_ADDR"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::Irqfd, "KVM_CAP_IRQFD"),
    (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
    (Cap::IrqRouting, "KVM_CAP_IRQ_ROUTING"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
];

/// A virtual machine of KVM. Cheap to clone; the machine ends with the last clone and the last processor.
#[derive(Debug, Clone)]
pub struct Vm {
    descriptors: Arc<Descriptors>,
}

#[derive(Debug)]
struct Descriptors {
    kvm: Kvm,
    vm: VmFd,
    /// Numbers of the memory slots that are taken. A lock because functions come and go on the control thread, and go with processors.
    slots: Mutex<BTreeSet<u32>>,
    /// The machine keeps what its slots point to: the mapping must outlive the virtual machine.
    _ram: GuestRam,
}

impl Vm {
    /// Makes a virtual machine with this memory, an interrupt controller in the kernel, and no processor yet.
    ///
    /// # Errors
    /// When the descriptor is not KVM's, KVM lacks something, or the kernel refuses.
    pub fn new(kvm: OwnedFd, ram: GuestRam) -> Result<Self, KvmError> {
        // SAFETY: the descriptor is open and owned, and ownership goes over to the result.
        let kvm = unsafe { Kvm::from_raw_fd(kvm.into_raw_fd()) };
        if kvm.get_api_version() != API_VERSION {
            return Err(KvmError::NotKvm);
        }
        for (capability, name) in NEEDED {
            if !kvm.check_extension(capability) {
                return Err(KvmError::Missing { capability: name });
            }
        }
        let vm = create(&kvm)?;
        vm.set_identity_map_address(IDENTITY_MAP)
            .map_err(refused("set KVM's identity map address"))?;
        let task_state = usize::try_from(TASK_STATE).expect("x86-64 addresses fit");
        vm.set_tss_address(task_state)
            .map_err(refused("set KVM's task state address"))?;
        leave_out_counters(&kvm, &vm)?;
        create_interrupt_controller(&vm)?;
        let slots = Mutex::new(register(&vm, &ram)?);
        Ok(Self {
            descriptors: Arc::new(Descriptors {
                kvm,
                vm,
                slots,
                _ram: ram,
            }),
        })
    }

    /// The number of a memory slot that nobody has.
    pub(crate) fn take_slot(&self) -> u32 {
        let mut slots = self.slots();
        let free = (0..u32::MAX).find(|slot| !slots.contains(slot));
        let free = free.unwrap_or(u32::MAX);
        slots.insert(free);
        free
    }

    pub(crate) fn give_slot_back(&self, slot: u32) {
        self.slots().remove(&slot);
    }

    fn slots(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        // Each change is one insertion or removal: a thread that panicked left it whole.
        let slots = &self.descriptors.slots;
        slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fd(&self) -> &VmFd {
        &self.descriptors.vm
    }

    pub(crate) fn kvm(&self) -> &Kvm {
        &self.descriptors.kvm
    }
}

/// KVM_CREATE_VM answers EINTR when a signal comes while it starts its worker; asking again is right then.
fn create(kvm: &Kvm) -> Result<VmFd, KvmError> {
    /// A signal storm that long is a fault of its own.
    const TRIES: u32 = 8;
    for _ in 1..TRIES {
        match kvm.create_vm() {
            Err(error) if error.errno() == libc::EINTR => {}
            answer => return answer.map_err(refused("create a virtual machine")),
        }
    }
    kvm.create_vm().map_err(refused("create a virtual machine"))
}

/// The one place that chooses the interrupt controller: local APICs, I/O APIC and PIC all in the kernel, no PIT. A split one
/// (KVM_CAP_SPLIT_IRQCHIP) would move the I/O APIC here; we have no line interrupts that would gain from it, and the generation
/// id's notification would then need an emulated I/O APIC.
fn create_interrupt_controller(vm: &VmFd) -> Result<(), KvmError> {
    vm.create_irq_chip()
        .map_err(refused("create the interrupt controller"))
}

/// The guest gets no performance counters: they leak what runs beside it, and saving them costs each exit.
fn leave_out_counters(kvm: &Kvm, vm: &VmFd) -> Result<(), KvmError> {
    if kvm.check_extension_raw(KVM_CAP_PMU_CAPABILITY.into())
        & i32::try_from(KVM_PMU_CAP_DISABLE).unwrap_or(0)
        == 0
    {
        return Ok(()); // Before Linux 5.18; the processor's leaves hide them then.
    }
    let mut capability = kvm_enable_cap {
        cap: KVM_CAP_PMU_CAPABILITY,
        ..Default::default()
    };
    capability.args[0] = KVM_PMU_CAP_DISABLE.into();
    vm.enable_cap(&capability)
        .map_err(refused("leave out the performance counters"))
}

/// The numbers of the slots that the RAM takes.
fn register(vm: &VmFd, ram: &GuestRam) -> Result<BTreeSet<u32>, KvmError> {
    let mut slots = BTreeSet::new();
    for (slot, region) in (0..).zip(ram.iter()) {
        let memory = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: region.as_ptr().addr() as u64,
        };
        // SAFETY: 1. the range is one whole mapping of `ram`; 2. `Vm` keeps `ram` until the virtual machine is closed;
        // 3. this process only touches it through volatile accesses (vm-memory).
        unsafe { vm.set_user_memory_region(memory) }
            .map_err(refused("give the virtual machine its memory"))?;
        slots.insert(slot);
    }
    Ok(slots)
}

pub(crate) fn refused(attempt: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> KvmError {
    move |source| KvmError::Refused { attempt, source }
}

/// Why KVM does not do it.
#[derive(Debug, Error)]
pub enum KvmError {
    /// The descriptor given is something else.
    #[error("use the descriptor given as KVM: it is not /dev/kvm, or a KVM of another version")]
    NotKvm,
    /// An old kernel, or a KVM that emulates too little.
    #[error(
        "use this host's KVM: it lacks {capability}; a Linux 5.10 or newer with KVM for Intel or AMD has it"
    )]
    Missing {
        /// Its name in the kernel's documentation.
        capability: &'static str,
    },
    /// An ioctl failed.
    #[error("{attempt}")]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// The kernel's answer.
        #[source]
        source: kvm_ioctls::Error,
    },
}

#[cfg(test)]
pub(crate) mod tests;
