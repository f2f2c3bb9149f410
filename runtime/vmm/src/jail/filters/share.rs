//! A share's thread: it moves messages between the guest's memory and the socket to the share server.

use libc::{SYS_ioctl, SYS_recvfrom, SYS_sendto, SYS_shutdown};

use super::{
    super::filter::{Argument, Rule},
    kvm,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        syscall: SYS_sendto,
        arguments: &[],
        reason: "a request of the guest: to the share server",
    },
    Rule {
        syscall: SYS_recvfrom,
        arguments: &[],
        reason: "a reply of the share server",
    },
    Rule {
        syscall: SYS_shutdown,
        arguments: &[],
        reason: "a share server that is gone, or broke the rules, is not listened to any more",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::IRQFD)],
        reason: "the last holder of an interrupt vector gives it back, and that may be this thread",
    },
];
