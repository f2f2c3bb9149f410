//! The RuntimeDefault seccomp profile: what a container may ask its (guest) kernel. An allow-list by topic; everything else
//! fails with EPERM. What is left out, and why: loading code into the kernel (modules, kexec, bpf), changing the mount tree or
//! namespaces, the clock, the host name, keys of the kernel's keyring (not in a namespace), io_uring (its operations pass no
//! filter), userfaultfd and perf (kernel attack surface), raw I/O ports, swap, quota, accounting, reboot, and calls that no
//! x86-64 kernel has any more. Neighbour above: `oci`, which puts it into the specification.

mod profile;

use model::{Seccomp, Security};
use oci_spec::{
    OciSpecError,
    runtime::{
        Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder,
        LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
    },
};

use super::error::SpecificationError;
pub use profile::ProfileError;

/// Names as in the kernel's arch/x86/entry/syscalls/syscall_64.tbl; one group per topic.
const ALLOWED: &[&[&str]] = &[
    // Files: open, read, write, map.
    &[
        "close",
        "close_range",
        "creat",
        "dup",
        "dup2",
        "dup3",
        "fadvise64",
        "fallocate",
        "fcntl",
        "fdatasync",
        "flock",
        "fsync",
        "ftruncate",
        "ioctl",
        "lseek",
        "mmap",
        "mprotect",
        "mremap",
        "msync",
        "munmap",
        "open",
        "openat",
        "openat2",
        "pread64",
        "preadv",
        "preadv2",
        "pwrite64",
        "pwritev",
        "pwritev2",
        "read",
        "readahead",
        "readv",
        "sendfile",
        "splice",
        "sync",
        "sync_file_range",
        "syncfs",
        "tee",
        "truncate",
        "vmsplice",
        "write",
        "writev",
        "copy_file_range",
        "cachestat",
        "memfd_create",
        "memfd_secret",
    ],
    // Names and attributes of files.
    &[
        "access",
        "chdir",
        "chmod",
        "chown",
        "faccessat",
        "faccessat2",
        "fchdir",
        "fchmod",
        "fchmodat",
        "fchmodat2",
        "fchown",
        "fchownat",
        "fgetxattr",
        "flistxattr",
        "fremovexattr",
        "fsetxattr",
        "fstat",
        "fstatfs",
        "futimesat",
        "getcwd",
        "getdents",
        "getdents64",
        "getxattr",
        "lchown",
        "lgetxattr",
        "link",
        "linkat",
        "listxattr",
        "llistxattr",
        "lremovexattr",
        "lsetxattr",
        "lstat",
        "mkdir",
        "mkdirat",
        "mknod",
        "mknodat",
        "name_to_handle_at",
        "newfstatat",
        "readlink",
        "readlinkat",
        "removexattr",
        "rename",
        "renameat",
        "renameat2",
        "rmdir",
        "setxattr",
        "stat",
        "statfs",
        "statx",
        "symlink",
        "symlinkat",
        "umask",
        "unlink",
        "unlinkat",
        "utime",
        "utimensat",
        "utimes",
    ],
    // Processes and threads; `clone` has its own rule below.
    &[
        "arch_prctl",
        "execve",
        "execveat",
        "exit",
        "exit_group",
        "fork",
        "get_robust_list",
        "get_thread_area",
        "getpgid",
        "getpgrp",
        "getpid",
        "getppid",
        "getsid",
        "gettid",
        "pidfd_open",
        "pidfd_send_signal",
        "prctl",
        "process_mrelease",
        "rseq",
        "restart_syscall",
        "set_robust_list",
        "set_thread_area",
        "set_tid_address",
        "setpgid",
        "setsid",
        "vfork",
        "wait4",
        "waitid",
        "kill",
        "tgkill",
        "tkill",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
    ],
    // Signals.
    &[
        "pause",
        "rt_sigaction",
        "rt_sigpending",
        "rt_sigprocmask",
        "rt_sigqueueinfo",
        "rt_sigreturn",
        "rt_sigsuspend",
        "rt_sigtimedwait",
        "rt_tgsigqueueinfo",
        "sigaltstack",
        "signalfd",
        "signalfd4",
    ],
    // Who a process is, and its limits.
    &[
        "capget",
        "capset",
        "getegid",
        "geteuid",
        "getgid",
        "getgroups",
        "getpriority",
        "getresgid",
        "getresuid",
        "getrlimit",
        "getrusage",
        "getuid",
        "ioprio_get",
        "ioprio_set",
        "prlimit64",
        "setfsgid",
        "setfsuid",
        "setgid",
        "setgroups",
        "setpriority",
        "setregid",
        "setresgid",
        "setresuid",
        "setreuid",
        "setrlimit",
        "setuid",
        "chroot",
        "seccomp",
        "landlock_add_rule",
        "landlock_create_ruleset",
        "landlock_restrict_self",
    ],
    // Memory.
    &[
        "brk",
        "madvise",
        "membarrier",
        "mincore",
        "mlock",
        "mlock2",
        "mlockall",
        "munlock",
        "munlockall",
        "pkey_alloc",
        "pkey_free",
        "pkey_mprotect",
        "process_madvise",
        "remap_file_pages",
        "mseal",
        "map_shadow_stack",
    ],
    // Scheduling.
    &[
        "getcpu",
        "sched_get_priority_max",
        "sched_get_priority_min",
        "sched_getaffinity",
        "sched_getattr",
        "sched_getparam",
        "sched_getscheduler",
        "sched_rr_get_interval",
        "sched_setaffinity",
        "sched_setattr",
        "sched_setparam",
        "sched_setscheduler",
        "sched_yield",
    ],
    // Time; reading only, and timers of one's own.
    &[
        "adjtimex",
        "alarm",
        "clock_getres",
        "clock_gettime",
        "clock_nanosleep",
        "getitimer",
        "gettimeofday",
        "nanosleep",
        "setitimer",
        "time",
        "timer_create",
        "timer_delete",
        "timer_getoverrun",
        "timer_gettime",
        "timer_settime",
        "timerfd_create",
        "timerfd_gettime",
        "timerfd_settime",
        "times",
    ],
    // Waiting for events.
    &[
        "epoll_create",
        "epoll_create1",
        "epoll_ctl",
        "epoll_ctl_old",
        "epoll_pwait",
        "epoll_pwait2",
        "epoll_wait",
        "epoll_wait_old",
        "eventfd",
        "eventfd2",
        "inotify_add_watch",
        "inotify_init",
        "inotify_init1",
        "inotify_rm_watch",
        "poll",
        "ppoll",
        "pselect6",
        "select",
        "io_cancel",
        "io_destroy",
        "io_getevents",
        "io_pgetevents",
        "io_setup",
        "io_submit",
    ],
    // Between processes: pipes, futexes, System V and POSIX IPC (in a namespace of the container's own).
    &[
        "futex",
        "futex_requeue",
        "futex_wait",
        "futex_waitv",
        "futex_wake",
        "mq_getsetattr",
        "mq_notify",
        "mq_open",
        "mq_timedreceive",
        "mq_timedsend",
        "mq_unlink",
        "msgctl",
        "msgget",
        "msgrcv",
        "msgsnd",
        "pipe",
        "pipe2",
        "semctl",
        "semget",
        "semop",
        "semtimedop",
        "shmat",
        "shmctl",
        "shmdt",
        "shmget",
    ],
    // Sockets.
    &[
        "accept",
        "accept4",
        "bind",
        "connect",
        "getpeername",
        "getsockname",
        "getsockopt",
        "listen",
        "recvfrom",
        "recvmmsg",
        "recvmsg",
        "sendmmsg",
        "sendmsg",
        "sendto",
        "setsockopt",
        "shutdown",
        "socket",
        "socketpair",
    ],
    // About the system.
    &["getrandom", "sysinfo", "uname"],
];

/// CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET (linux/sched.h): `clone` may not make namespaces.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// PER_LINUX, PER_LINUX32, UNAME26 and both together, and "what is it now" (linux/personality.h).
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// The filter of a container with these capabilities; none where it is unconfined, as a privileged one always is.
pub(super) fn filter(
    security: &Security,
    capabilities: &Capabilities,
) -> Result<Option<LinuxSeccomp>, SpecificationError> {
    Ok(match &security.seccomp {
        _ if security.privileged => None,
        Seccomp::Unconfined => None,
        Seccomp::RuntimeDefault => Some(runtime_default()?),
        Seccomp::Localhost(text) => Some(profile::read(text, capabilities)?),
    })
}

/// The profile as an OCI runtime specification has it.
///
/// # Errors
/// Never in practice: only a field missing from the builders could be the cause.
fn runtime_default() -> Result<LinuxSeccomp, OciSpecError> {
    let names = ALLOWED
        .iter()
        .copied()
        .flatten()
        .map(|name| (*name).to_owned());
    let mut rules = vec![
        allow(names.collect::<Vec<_>>())?,
        clone_without_namespaces()?,
    ];
    // The arguments of clone3 lie in memory, where no filter sees them; with ENOSYS a libc falls back to clone.
    rules.push(refuse("clone3", ENOSYS)?);
    for personality in PERSONALITIES {
        rules.push(personality_rule(personality)?);
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(EPERM)
        .architectures([Arch::ScmpArchX86_64])
        .syscalls(rules)
        .build()
}

fn allow(names: Vec<String>) -> Result<LinuxSyscall, OciSpecError> {
    LinuxSyscallBuilder::default()
        .names(names)
        .action(LinuxSeccompAction::ScmpActAllow)
        .build()
}

fn refuse(name: &str, errno: u32) -> Result<LinuxSyscall, OciSpecError> {
    LinuxSyscallBuilder::default()
        .names([name.to_owned()])
        .action(LinuxSeccompAction::ScmpActErrno)
        .errno_ret(errno)
        .build()
}

fn clone_without_namespaces() -> Result<LinuxSyscall, OciSpecError> {
    let flags = LinuxSeccompArgBuilder::default()
        .index(0_usize)
        .value(CLONE_NAMESPACES)
        .value_two(0_u64)
        .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
        .build()?;
    LinuxSyscallBuilder::default()
        .names(["clone".to_owned()])
        .action(LinuxSeccompAction::ScmpActAllow)
        .args([flags])
        .build()
}

fn personality_rule(value: u64) -> Result<LinuxSyscall, OciSpecError> {
    let argument = LinuxSeccompArgBuilder::default()
        .index(0_usize)
        .value(value)
        .op(LinuxSeccompOperator::ScmpCmpEq)
        .build()?;
    LinuxSyscallBuilder::default()
        .names(["personality".to_owned()])
        .action(LinuxSeccompAction::ScmpActAllow)
        .args([argument])
        .build()
}

#[cfg(test)]
mod tests;
