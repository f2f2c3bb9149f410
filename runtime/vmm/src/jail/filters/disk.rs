//! A disk's thread: it reads and writes at places of files that were open when it began.

use libc::{SYS_fallocate, SYS_fdatasync, SYS_ioctl, SYS_preadv, SYS_pwritev};

use super::{
    super::filter::{Argument, Rule},
    block, kvm,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        syscall: SYS_preadv,
        arguments: &[],
        reason: "the guest reads: into its memory",
    },
    Rule {
        syscall: SYS_pwritev,
        arguments: &[],
        reason: "the guest writes: from its memory",
    },
    Rule {
        syscall: SYS_fdatasync,
        arguments: &[],
        reason: "the guest flushes",
    },
    Rule {
        syscall: SYS_fallocate,
        arguments: &[],
        reason: "the guest discards or zeroes: the file gets a hole, a block device writes zeroes",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, block::DISCARD)],
        reason: "the guest discards what is on a block device of the host",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::IRQFD)],
        reason: "the last holder of an interrupt vector gives it back, and that may be this thread",
    },
];
