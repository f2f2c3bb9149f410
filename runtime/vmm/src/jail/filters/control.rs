//! The main thread: it answers requests, puts disks, NICs and shares on the bus and takes them off, and makes a thread for each that
//! comes later.

use libc::{
    CLONE_CHILD_CLEARTID, CLONE_FILES, CLONE_FS, CLONE_PARENT_SETTID, CLONE_SETTLS, CLONE_SIGHAND,
    CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM, F_DUPFD_CLOEXEC, F_GETFL, FIONBIO, PR_SET_NAME,
    PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER, SO_TYPE, SOCK_CLOEXEC, SOCK_NONBLOCK, SOL_SOCKET,
    SYS_accept4, SYS_clone, SYS_clone3, SYS_epoll_create1, SYS_eventfd2, SYS_fcntl, SYS_fstat,
    SYS_getrandom, SYS_getsockopt, SYS_ioctl, SYS_lseek, SYS_ppoll, SYS_prctl, SYS_recvmsg,
    SYS_rseq, SYS_sched_getaffinity, SYS_seccomp, SYS_sendmsg, SYS_set_robust_list, SYS_statx,
};

use super::{
    super::filter::{Argument, Rule},
    bits, kvm, tap, vhost,
};

/// The flags with which the C library makes a thread, all of them: nothing less is a thread, nothing more is a namespace.
const THREAD: i32 = CLONE_VM
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SIGHAND
    | CLONE_THREAD
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID;

pub(super) const RULES: &[Rule] = &[
    Rule {
        syscall: SYS_accept4,
        arguments: &[Argument::Is(3, bits(SOCK_CLOEXEC | SOCK_NONBLOCK))],
        reason: "a client connects to the control socket; it never blocks this thread",
    },
    Rule {
        syscall: SYS_recvmsg,
        arguments: &[],
        reason: "requests, with the descriptors of a disk, a NIC or a share",
    },
    Rule {
        syscall: SYS_sendmsg,
        arguments: &[],
        reason: "answers, with the descriptor of this process",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::IRQFD)],
        reason: "interrupts of a disk, a NIC or a share that comes or goes",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::IOEVENTFD)],
        reason: "doorbells of a disk, a NIC or a share that comes or goes",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, kvm::SET_GSI_ROUTING)],
        reason: "the interrupt routes without those of a disk or a NIC that goes",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, tap::GET_IFF)],
        reason: "whether a descriptor of a NIC that comes is a tap, and of which kind",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, tap::GET_HEADER_SIZE)],
        reason: "whether a tap of a NIC that comes has the header of virtio",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, tap::SET_OFFLOAD)],
        reason: "which unfinished frames a tap of a NIC that comes can pass on",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, FIONBIO)],
        reason: "a tap of a NIC that comes never blocks its thread",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::GET_FEATURES)],
        reason: "whether vhost-net of a NIC that comes can do what we offer",
    },
    Rule {
        syscall: SYS_ioctl,
        arguments: &[Argument::Is(1, vhost::SET_OWNER)],
        reason: "vhost-net of a NIC that comes works for this process",
    },
    Rule {
        syscall: SYS_eventfd2,
        arguments: &[],
        reason: "doorbells and vectors of a disk, a NIC or a share that comes",
    },
    Rule {
        syscall: SYS_fcntl,
        arguments: &[Argument::Is(1, bits(F_DUPFD_CLOEXEC))],
        reason: "a file that several segments of a disk share",
    },
    Rule {
        syscall: SYS_fcntl,
        arguments: &[Argument::Is(1, bits(F_GETFL))],
        reason: "whether the file behind a disk that comes may be written",
    },
    Rule {
        syscall: SYS_epoll_create1,
        arguments: &[],
        reason: "what the thread of a disk, a NIC or a share that comes waits with",
    },
    Rule {
        syscall: SYS_fstat,
        arguments: &[],
        reason: "the size of a file behind a disk that comes",
    },
    Rule {
        syscall: SYS_statx,
        arguments: &[],
        reason: "the size of a file behind a disk that comes, as Rust spells it",
    },
    Rule {
        syscall: SYS_lseek,
        arguments: &[],
        reason: "the size of a block device behind a disk that comes",
    },
    Rule {
        syscall: SYS_getsockopt,
        arguments: &[
            Argument::Is(1, bits(SOL_SOCKET)),
            Argument::Is(2, bits(SO_TYPE)),
        ],
        reason: "whether the descriptor of a share that comes is a socket for packets",
    },
    Rule {
        syscall: SYS_ppoll,
        arguments: &[],
        reason: "whether the server of a share is there, for who asks for the status",
    },
];

/// What the making of a thread takes, in this thread and as the first acts of the new one.
pub(super) const NEW_THREAD: &[Rule] = &[
    Rule {
        syscall: SYS_clone,
        arguments: &[Argument::Is(0, bits(THREAD))],
        reason: "a thread for a disk, a NIC or a share that comes; nothing but a thread",
    },
    Rule {
        syscall: SYS_clone3,
        arguments: &[],
        reason: "only so that the rule in front of this filter can answer ENOSYS: the C library then uses clone, \
            whose flags can be checked",
    },
    Rule {
        syscall: SYS_set_robust_list,
        arguments: &[],
        reason: "the C library sets up the new thread's locks",
    },
    Rule {
        syscall: SYS_rseq,
        arguments: &[],
        reason: "the C library tells the kernel about the new thread's restartable sequences",
    },
    Rule {
        syscall: SYS_sched_getaffinity,
        arguments: &[],
        reason: "the C library, asked by Rust for the new thread's stack bounds",
    },
    Rule {
        syscall: SYS_getrandom,
        arguments: &[],
        reason: "the C library seeds the allocator of the new thread",
    },
    Rule {
        syscall: SYS_prctl,
        arguments: &[Argument::Is(0, bits(PR_SET_NAME))],
        reason: "the new thread says its name",
    },
    Rule {
        syscall: SYS_prctl,
        arguments: &[
            Argument::Is(0, bits(PR_SET_NO_NEW_PRIVS)),
            Argument::Is(1, 1),
        ],
        reason: "the new thread installs its own filter on top of this one",
    },
    Rule {
        syscall: SYS_seccomp,
        arguments: &[Argument::Is(0, SECCOMP_SET_MODE_FILTER as u64)],
        reason: "the new thread installs its own filter on top of this one",
    },
];
