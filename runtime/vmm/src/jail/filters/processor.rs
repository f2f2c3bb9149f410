//! A processor's thread: it runs the guest, and does the guest's register accesses in between. Among these are what a driver sets
//! up: interrupts, doorbells, and the start of a device's work, which another thread then does.

use libc::{
    F_DUPFD_CLOEXEC, SYS_epoll_create1, SYS_epoll_ctl, SYS_eventfd2, SYS_fcntl, SYS_getrandom,
    SYS_ioctl, SYS_timerfd_create,
};

use super::{
    super::filter::{Argument, Rule},
    bits, kvm, tap, vhost,
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
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, tap::SET_OFFLOAD)],
        reason: "the driver of a NIC has chosen which unfinished frames it takes",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, tap::SET_QUEUE)],
        reason: "the driver of a NIC begins with one pair of queues",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_FEATURES)],
        reason: "the driver of a NIC has chosen its features: vhost-net hears of them",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_MEM_TABLE)],
        reason: "vhost-net, started by a NIC's driver, learns where the guest's memory is",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_VRING_NUM)],
        reason: "vhost-net, started by a NIC's driver, learns a ring's size",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_VRING_ADDR)],
        reason: "vhost-net, started by a NIC's driver, learns where a ring is",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_VRING_BASE)],
        reason: "vhost-net, started by a NIC's driver, learns where to begin in a ring",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_VRING_KICK)],
        reason: "vhost-net, started by a NIC's driver, gets a queue's doorbell",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_VRING_CALL)],
        reason: "vhost-net, started by a NIC's driver, gets a queue's interrupt",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_VRING_ERR)],
        reason: "vhost-net, started by a NIC's driver, can say that a ring is broken",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::NET_SET_BACKEND)],
        reason: "vhost-net is started by a NIC's driver, or taken back when that fails",
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
        reason: "the socket device, a NIC or a share, started by its driver, waits for several descriptors",
    },
    Rule {
        syscall: SYS_epoll_ctl,
        arguments: &[],
        reason: "the socket device, a NIC or a share, started by its driver, says for which descriptors it waits",
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
