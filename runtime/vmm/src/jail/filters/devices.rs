//! The thread of the devices that share one: the socket device with its unix socket, random numbers, and the commands of NICs whose
//! frames the kernel moves.

use libc::{
    SOCK_CLOEXEC, SOCK_NONBLOCK, SYS_accept4, SYS_epoll_create1, SYS_getrandom, SYS_ioctl,
    SYS_recvfrom, SYS_recvmsg, SYS_sendmsg, SYS_sendto, SYS_shutdown, SYS_timerfd_settime,
};

use super::{
    super::filter::{Argument, Rule},
    bits, kvm, tap, vhost,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        syscall: SYS_accept4,
        arguments: &[Argument::Is(3, bits(SOCK_CLOEXEC | SOCK_NONBLOCK))],
        reason: "a host program connects to the guest; the connection never blocks this thread",
    },
    Rule {
        syscall: SYS_recvfrom,
        arguments: &[],
        reason: "the greeting of a connection, and bytes that wait for the guest's credit",
    },
    Rule {
        syscall: SYS_recvmsg,
        arguments: &[],
        reason: "bytes from a connection straight into the guest's memory",
    },
    Rule {
        syscall: SYS_sendto,
        arguments: &[],
        reason: "the answer to a greeting, and bytes that waited for the connection",
    },
    Rule {
        syscall: SYS_sendmsg,
        arguments: &[],
        reason: "bytes of the guest's memory straight to a connection",
    },
    Rule {
        syscall: SYS_shutdown,
        arguments: &[],
        reason: "the guest closes one direction of a connection",
    },
    Rule {
        syscall: SYS_epoll_create1,
        arguments: &[],
        reason: "the socket device starts over after a reset by its driver",
    },
    Rule {
        syscall: SYS_timerfd_settime,
        arguments: &[],
        reason: "deadlines of the socket device's connections",
    },
    Rule {
        syscall: SYS_getrandom,
        arguments: &[],
        reason: "random numbers for the guest",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, tap::SET_QUEUE)],
        reason: "the driver of a NIC uses more or fewer pairs of queues: so does the tap",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::NET_SET_BACKEND)],
        reason: "and so does vhost-net, which is stopped here when the NIC is reset or goes",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::IRQFD)],
        reason: "the last holder of an interrupt vector gives it back, and that may be this thread",
    },
];
