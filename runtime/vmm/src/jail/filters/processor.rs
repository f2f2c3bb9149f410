//! A processor's thread: it runs the guest, and does the guest's register accesses in between. Among these are what a driver sets
//! up: interrupts, doorbells, and the start of a device's work, which another thread then does.

use libc::{
    F_DUPFD_CLOEXEC, SYS_epoll_create1, SYS_epoll_ctl, SYS_eventfd2, SYS_fcntl, SYS_getrandom,
    SYS_ioctl, SYS_timerfd_create,
};

use super::{
    super::filter::{Argument, Rule},
    bits, kvm,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::RUN)],
        reason: "run the guest",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::SET_GSI_ROUTING)],
        reason: "the driver steers an interrupt vector",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::IRQFD)],
        reason: "the driver switches a device's interrupts on or off",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::IOEVENTFD)],
        reason: "the driver moves a BAR or starts a device: doorbells follow",
    },
    Rule {
        syscall: SYS_eventfd2,
        arguments: &[],
        reason: "doorbells and vectors of a device that the driver starts",
    },
    Rule {
        syscall: SYS_fcntl,
        arguments: &[Argument::Is(1, bits(F_DUPFD_CLOEXEC))],
        reason: "a device that the driver starts shares its doorbells with its thread",
    },
    Rule {
        syscall: SYS_epoll_create1,
        arguments: &[],
        reason: "the socket device, started by its driver, waits for several descriptors",
    },
    Rule {
        syscall: SYS_epoll_ctl,
        arguments: &[],
        reason: "the socket device, started by its driver, says for which descriptors it waits",
    },
    Rule {
        syscall: SYS_timerfd_create,
        arguments: &[],
        reason: "the socket device, started by its driver, has deadlines for its connections",
    },
    Rule {
        syscall: SYS_getrandom,
        arguments: &[],
        reason: "the socket device, started by its driver, begins its ports at a random number",
    },
];
