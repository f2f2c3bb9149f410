//! What a processor's thread does besides where the guest has functions of the host, and what the main thread does to add one and to take
//! it away again.

use libc::{MAP_SHARED, PROT_EXEC, SYS_ioctl, SYS_mmap, SYS_pread64, SYS_pwrite64};

use super::{
    super::filter::{Argument, Rule},
    bits, functions,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        syscall: SYS_pread64,
        arguments: &[],
        reason: "the guest reads configuration space of a function, or a register that is not mapped",
    },
    Rule {
        syscall: SYS_pwrite64,
        arguments: &[],
        reason: "the guest writes configuration space of a function, or a register that is not mapped",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::DEVICE_SET_IRQS)],
        reason: "the driver of a function switches its interrupts on or off",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::SET_USER_MEMORY_REGION)],
        reason: "the driver of a function moves a BAR: its pages follow in the guest's address space",
    },
];

/// What it takes to open a function, beside the above.
pub(super) const NEW_FUNCTION: &[Rule] = &[
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::GET_API_VERSION)],
        reason: "whether the descriptor of a container that comes is one",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::CHECK_EXTENSION)],
        reason: "whether the container has an IOMMU of type 1",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::SET_IOMMU)],
        reason: "the container of a function that comes gets its IOMMU",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::GROUP_GET_STATUS)],
        reason: "whether the descriptor of a group is one, and the host keeps off it",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::GROUP_SET_CONTAINER)],
        reason: "the group of a function that comes joins its container",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::IOMMU_MAP_DMA)],
        reason: "the guest's memory is pinned, and the function may reach it",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::SET_DEVICE_ATTR)],
        reason: "KVM hears of a group that comes or goes",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::GROUP_GET_DEVICE_FD)],
        reason: "the descriptor of a function that comes; the host opens what it belongs to",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::DEVICE_GET_INFO)],
        reason: "whether a function that comes is one of PCI",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::DEVICE_GET_REGION_INFO)],
        reason: "the BARs of a function that comes",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::DEVICE_GET_IRQ_INFO)],
        reason: "how many interrupts a function that comes has",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, functions::DEVICE_RESET)],
        reason: "a function that comes or goes is reset",
    },
    Rule {
        syscall: SYS_mmap,
        arguments: &[
            Argument::Lacks(2, bits(PROT_EXEC)),
            Argument::Has(3, bits(MAP_SHARED)),
        ],
        reason: "the BARs of a function that comes; never executable",
    },
];
