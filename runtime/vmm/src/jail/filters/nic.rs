//! A NIC's thread: it moves frames between the guest's memory and taps that were open when it began.

use libc::{SYS_ioctl, SYS_readv, SYS_writev};

use super::{
    super::filter::{Argument, Rule},
    kvm, tap,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        syscall: SYS_readv,
        arguments: &[],
        reason: "a frame from the tap: into the guest's memory",
    },
    Rule {
        syscall: SYS_writev,
        arguments: &[],
        reason: "a frame of the guest's memory: to the tap",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, tap::SET_QUEUE)],
        reason: "the driver uses more or fewer pairs of queues: so does the tap",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::IRQFD)],
        reason: "the last holder of an interrupt vector gives it back, and that may be this thread",
    },
];
