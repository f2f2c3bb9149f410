//! What each kind of thread may do, as data with a reason for every line. Main type: [`Kind`]. The `filter` file next to this one
//! turns the tables into programs.

mod control;
mod devices;
mod disk;
mod nic;
mod processor;
mod share;
#[cfg(test)]
mod tests;
mod vfio;

use libc::{
    MAP_PRIVATE, PROT_EXEC, SIGABRT, SYS_brk, SYS_clock_gettime, SYS_close, SYS_exit,
    SYS_exit_group, SYS_futex, SYS_getpid, SYS_gettid, SYS_madvise, SYS_mmap, SYS_mprotect,
    SYS_mremap, SYS_munmap, SYS_read, SYS_restart_syscall, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_sigaltstack, SYS_tgkill, SYS_write,
};
use seccompiler::BpfProgram;

use super::filter::{self, Argument, FilterError, Rule};

/// A kind of thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The main thread: requests, and making threads for disks, NICs and shares that are added later.
    Control,
    /// The same in a machine that may be given functions of the host while it runs.
    ControlWithFunctions,
    /// Runs one of the guest's processors.
    Processor,
    /// The same in a machine that has functions of the host.
    ProcessorWithFunctions,
    /// Runs the devices that share a thread: sockets, random numbers, and the commands of NICs whose frames the kernel moves.
    Devices,
    /// Runs one disk.
    Disk,
    /// Runs one NIC.
    Nic,
    /// Runs one share.
    Share,
}

impl Kind {
    /// The filter for this kind of thread.
    pub(crate) fn program(self) -> Result<BpfProgram, FilterError> {
        filter::compile(self.tables())
    }

    fn tables(self) -> &'static [&'static [Rule]] {
        match self {
            // A thread is also under its maker's filter, so control may do what a disk's, a NIC's or a share's thread does.
            Self::Control => &[
                EVERY_THREAD,
                WAITING,
                control::RULES,
                control::NEW_THREAD,
                disk::RULES,
                nic::RULES,
                share::RULES,
            ],
            Self::ControlWithFunctions => &[
                EVERY_THREAD,
                WAITING,
                control::RULES,
                control::NEW_THREAD,
                disk::RULES,
                nic::RULES,
                share::RULES,
                vfio::RULES,
                vfio::NEW_FUNCTION,
            ],
            Self::Processor => &[EVERY_THREAD, processor::RULES],
            Self::ProcessorWithFunctions => &[EVERY_THREAD, processor::RULES, vfio::RULES],
            Self::Devices => &[EVERY_THREAD, WAITING, devices::RULES],
            Self::Disk => &[EVERY_THREAD, WAITING, disk::RULES],
            Self::Nic => &[EVERY_THREAD, WAITING, nic::RULES],
            Self::Share => &[EVERY_THREAD, WAITING, share::RULES],
        }
    }
}

/// KVM's requests of a running machine, as numbered in include/uapi/linux/kvm.h.
mod kvm {
    /// _IO(0xae, 0x80)
    pub(super) const RUN: u64 = 0xae80;
    /// _IOW(0xae, 0x76, struct kvm_irqfd)
    pub(super) const IRQFD: u64 = 0x4020_ae76;
    /// _IOW(0xae, 0x79, struct kvm_ioeventfd)
    pub(super) const IOEVENTFD: u64 = 0x4040_ae79;
    /// _IOW(0xae, 0x6a, struct kvm_irq_routing)
    pub(super) const SET_GSI_ROUTING: u64 = 0x4008_ae6a;
}

/// VFIO's requests, as numbered in include/uapi/linux/vfio.h, and what KVM is asked for besides.
mod functions {
    /// _IO(';', 100 + 0), _IO(';', 100 + 1), _IO(';', 100 + 2)
    pub(super) const GET_API_VERSION: u64 = 0x3b64;
    pub(super) const CHECK_EXTENSION: u64 = 0x3b65;
    pub(super) const SET_IOMMU: u64 = 0x3b66;
    /// _IO(';', 100 + 3), _IO(';', 100 + 4), _IO(';', 100 + 6)
    pub(super) const GROUP_GET_STATUS: u64 = 0x3b67;
    pub(super) const GROUP_SET_CONTAINER: u64 = 0x3b68;
    pub(super) const GROUP_GET_DEVICE_FD: u64 = 0x3b6a;
    /// _IO(';', 100 + 7), _IO(';', 100 + 8), _IO(';', 100 + 9), _IO(';', 100 + 11)
    pub(super) const DEVICE_GET_INFO: u64 = 0x3b6b;
    pub(super) const DEVICE_GET_REGION_INFO: u64 = 0x3b6c;
    pub(super) const DEVICE_GET_IRQ_INFO: u64 = 0x3b6d;
    pub(super) const DEVICE_RESET: u64 = 0x3b6f;
    /// _IO(';', 100 + 13)
    pub(super) const IOMMU_MAP_DMA: u64 = 0x3b71;
    /// _IOW(0xae, 0xe1, struct kvm_device_attr)
    pub(super) const SET_DEVICE_ATTR: u64 = 0x4018_aee1;
    /// _IO(';', 100 + 10)
    pub(super) const DEVICE_SET_IRQS: u64 = 0x3b6e;
    /// _IOW(0xae, 0x46, struct kvm_userspace_memory_region)
    pub(super) const SET_USER_MEMORY_REGION: u64 = 0x4020_ae46;
}

/// A block device's requests, as numbered in include/uapi/linux/fs.h.
mod block {
    /// _IO(0x12, 119)
    pub(super) const DISCARD: u64 = 0x1277;
}

/// A tap's requests, as numbered in include/uapi/linux/if_tun.h.
mod tap {
    /// _IOW('T', 208, unsigned int)
    pub(super) const SET_OFFLOAD: u64 = 0x4004_54d0;
    /// _IOR('T', 210, unsigned int)
    pub(super) const GET_IFF: u64 = 0x8004_54d2;
    /// _IOR('T', 215, int)
    pub(super) const GET_HEADER_SIZE: u64 = 0x8004_54d7;
    /// _IOW('T', 217, int)
    pub(super) const SET_QUEUE: u64 = 0x4004_54d9;
}

/// vhost's requests, as numbered in include/uapi/linux/vhost.h.
mod vhost {
    /// _IOR(0xaf, 0x00, __u64)
    pub(super) const GET_FEATURES: u64 = 0x8008_af00;
    /// _IOW(0xaf, 0x00, __u64)
    pub(super) const SET_FEATURES: u64 = 0x4008_af00;
    /// _IO(0xaf, 0x01)
    pub(super) const SET_OWNER: u64 = 0xaf01;
    /// _IOW(0xaf, 0x03, struct vhost_memory)
    pub(super) const SET_MEM_TABLE: u64 = 0x4008_af03;
    /// _IOW(0xaf, 0x10, struct vhost_vring_state)
    pub(super) const SET_VRING_NUM: u64 = 0x4008_af10;
    /// _IOW(0xaf, 0x11, struct vhost_vring_addr)
    pub(super) const SET_VRING_ADDR: u64 = 0x4028_af11;
    /// _IOW(0xaf, 0x12, struct vhost_vring_state)
    pub(super) const SET_VRING_BASE: u64 = 0x4008_af12;
    /// _IOW(0xaf, 0x20, struct vhost_vring_file)
    pub(super) const SET_VRING_KICK: u64 = 0x4008_af20;
    /// _IOW(0xaf, 0x21, struct vhost_vring_file)
    pub(super) const SET_VRING_CALL: u64 = 0x4008_af21;
    /// _IOW(0xaf, 0x22, struct vhost_vring_file)
    pub(super) const SET_VRING_ERR: u64 = 0x4008_af22;
    /// _IOW(0xaf, 0x30, struct vhost_vring_file)
    pub(super) const NET_SET_BACKEND: u64 = 0x4008_af30;
}

/// `as` a filter compares it: a constant of the C library that is not negative.
const fn bits(value: i32) -> u64 {
    value.unsigned_abs() as u64
}

/// What Rust's and C's runtime do in any thread.
const EVERY_THREAD: &[Rule] = &[
    Rule {
        syscall: SYS_futex,
        arguments: &[],
        reason: "locks, channels and the wait of one thread for another",
    },
    Rule {
        syscall: SYS_read,
        arguments: &[],
        reason: "take back the wake-up of an eventfd",
    },
    Rule {
        syscall: SYS_write,
        arguments: &[],
        reason: "eventfds, the console's log, and a panic's last words on standard error",
    },
    Rule {
        syscall: SYS_close,
        arguments: &[],
        reason: "descriptors of connections, queues and disks that are let go",
    },
    #[cfg(debug_assertions)]
    Rule {
        syscall: libc::SYS_fcntl,
        arguments: &[Argument::Is(1, bits(libc::F_GETFD))],
        reason: "Rust's debug builds check a descriptor before they close it",
    },
    Rule {
        syscall: SYS_brk,
        arguments: &[],
        reason: "the allocator grows its heap",
    },
    Rule {
        syscall: SYS_mmap,
        arguments: &[
            Argument::Lacks(2, bits(PROT_EXEC)),
            Argument::Has(3, bits(MAP_PRIVATE)),
        ],
        reason: "the allocator and thread stacks; never executable, never shared with a file",
    },
    Rule {
        syscall: SYS_mprotect,
        arguments: &[Argument::Lacks(2, bits(PROT_EXEC))],
        reason: "the allocator opens more of an arena, a new stack gets its guard page; never executable",
    },
    Rule {
        syscall: SYS_mremap,
        arguments: &[],
        reason: "the allocator grows a large block",
    },
    Rule {
        syscall: SYS_munmap,
        arguments: &[],
        reason: "the allocator gives a large block back",
    },
    Rule {
        syscall: SYS_madvise,
        arguments: &[],
        reason: "a stack of a thread that ends, and the allocator's unused pages",
    },
    Rule {
        syscall: SYS_sigaltstack,
        arguments: &[],
        reason: "Rust takes a thread's signal stack away when it ends",
    },
    Rule {
        syscall: SYS_rt_sigprocmask,
        arguments: &[],
        reason: "the C library blocks signals while a thread starts, ends or aborts",
    },
    Rule {
        syscall: SYS_rt_sigreturn,
        arguments: &[],
        reason: "return from a handler: Rust's report of a stack overflow",
    },
    Rule {
        syscall: SYS_restart_syscall,
        arguments: &[],
        reason: "the kernel goes on with an interrupted wait after the process was stopped",
    },
    Rule {
        syscall: SYS_clock_gettime,
        arguments: &[],
        reason: "time, on hosts whose clock can't be read without a call",
    },
    Rule {
        syscall: SYS_gettid,
        arguments: &[],
        reason: "abort after a panic finds its thread",
    },
    Rule {
        syscall: SYS_getpid,
        arguments: &[],
        reason: "abort after a panic finds its process",
    },
    Rule {
        syscall: SYS_tgkill,
        arguments: &[Argument::Is(2, bits(SIGABRT))],
        reason: "abort after a panic; no other signal",
    },
    Rule {
        syscall: SYS_exit,
        arguments: &[],
        reason: "the thread ends",
    },
    Rule {
        syscall: SYS_exit_group,
        arguments: &[],
        reason: "the process ends",
    },
];

/// What a thread does that waits for descriptors.
const WAITING: &[Rule] = &[
    Rule {
        syscall: libc::SYS_epoll_wait,
        arguments: &[],
        reason: "wait for descriptors to be ready",
    },
    Rule {
        syscall: libc::SYS_epoll_pwait,
        arguments: &[],
        reason: "wait for descriptors to be ready, as some C libraries and rustix spell it",
    },
    Rule {
        syscall: libc::SYS_epoll_ctl,
        arguments: &[],
        reason: "connections and devices come and go",
    },
];
