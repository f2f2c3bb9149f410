//! What a processor's thread does besides where the guest has functions of the host.

use libc::{SYS_ioctl, SYS_pread64, SYS_pwrite64};

use super::{
    super::filter::{Argument, Rule},
    functions,
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
