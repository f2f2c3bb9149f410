//! What the server's threads may do, as data with a reason for every line. The `filter` file next to this one turns the table into a
//! program.

#[cfg(test)]
mod tests;

use libc::{
    F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFL, PROT_EXEC, SIGABRT, SYS_brk, SYS_capget,
    SYS_capset, SYS_clock_gettime, SYS_close, SYS_copy_file_range, SYS_dup, SYS_exit,
    SYS_exit_group, SYS_faccessat, SYS_fallocate, SYS_fchmod, SYS_fchmodat, SYS_fchownat,
    SYS_fcntl, SYS_fdatasync, SYS_fstat, SYS_fstatfs, SYS_fsync, SYS_ftruncate, SYS_futex,
    SYS_getdents64, SYS_getgid, SYS_getpid, SYS_getrandom, SYS_gettid, SYS_getuid, SYS_getxattr,
    SYS_linkat, SYS_listxattr, SYS_lseek, SYS_madvise, SYS_mkdirat, SYS_mknodat, SYS_mmap,
    SYS_mprotect, SYS_mremap, SYS_munmap, SYS_name_to_handle_at, SYS_newfstatat, SYS_open,
    SYS_openat, SYS_pread64, SYS_preadv, SYS_preadv2, SYS_pwrite64, SYS_pwritev, SYS_pwritev2,
    SYS_read, SYS_readlinkat, SYS_recvfrom, SYS_removexattr, SYS_renameat, SYS_renameat2,
    SYS_restart_syscall, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sched_yield,
    SYS_sendto, SYS_setresgid, SYS_setresuid, SYS_setxattr, SYS_sigaltstack, SYS_statx,
    SYS_symlinkat, SYS_tgkill, SYS_umask, SYS_unlinkat, SYS_utimensat, SYS_write, SYS_writev,
};

use super::filter::{Argument, Rule};

/// A constant of the C library that is not negative, as a filter compares it.
const fn bits(value: i32) -> u64 {
    value.unsigned_abs() as u64
}

/// The C library, the runtime and the socket first, then files.
pub(super) const RULES: &[Rule] = &[
    Rule {
        syscall: SYS_futex,
        arguments: &[],
        reason: "locks, and the wait of one thread for another",
    },
    Rule {
        syscall: SYS_brk,
        arguments: &[],
        reason: "the allocator grows its heap",
    },
    Rule {
        syscall: SYS_mmap,
        arguments: &[Argument::Lacks(2, bits(PROT_EXEC))],
        reason: "the allocator; never executable",
    },
    Rule {
        syscall: SYS_mprotect,
        arguments: &[Argument::Lacks(2, bits(PROT_EXEC))],
        reason: "the allocator opens more of an arena; never executable",
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
        reason: "the C library blocks signals while a thread ends or aborts",
    },
    Rule {
        syscall: SYS_rt_sigaction,
        arguments: &[],
        reason: "the C library restores the default action when it aborts after a panic",
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
    Rule {
        syscall: SYS_getrandom,
        arguments: &[],
        reason: "the standard library seeds its hash maps",
    },
    Rule {
        syscall: SYS_sched_yield,
        arguments: &[],
        reason: "the lock-free table of the FUSE server waits for a writer",
    },
    Rule {
        syscall: SYS_recvfrom,
        arguments: &[],
        reason: "a message from the monitor",
    },
    Rule {
        syscall: SYS_sendto,
        arguments: &[],
        reason: "the answer to a session's first message, or to one that is malformed",
    },
    Rule {
        syscall: SYS_write,
        arguments: &[],
        reason: "an answer of one piece; the word that the server is ready; a panic's last words",
    },
    Rule {
        syscall: SYS_writev,
        arguments: &[],
        reason: "an answer of several pieces",
    },
    Rule {
        syscall: SYS_openat,
        arguments: &[],
        reason: "find a file by its name in a folder, open it, make it",
    },
    Rule {
        syscall: SYS_open,
        arguments: &[],
        reason: "open a file, as some C libraries spell it",
    },
    Rule {
        syscall: SYS_close,
        arguments: &[],
        reason: "the guest closes or forgets a file",
    },
    Rule {
        syscall: SYS_dup,
        arguments: &[],
        reason: "FLUSH: a duplicate is closed, so that the file system hears of it",
    },
    Rule {
        syscall: SYS_fcntl,
        arguments: &[Argument::Is(1, bits(F_SETFL))],
        reason: "the guest changes an open file's flags",
    },
    Rule {
        syscall: SYS_fcntl,
        arguments: &[Argument::Is(1, bits(F_GETFL))],
        reason: "which flags an open file has",
    },
    Rule {
        syscall: SYS_fcntl,
        arguments: &[Argument::Is(1, bits(F_GETFD))],
        reason: "Rust's debug builds check a descriptor before they close it",
    },
    Rule {
        syscall: SYS_fcntl,
        arguments: &[Argument::Is(1, bits(F_DUPFD_CLOEXEC))],
        reason: "FLUSH, as Rust spells a duplicate",
    },
    Rule {
        syscall: SYS_statx,
        arguments: &[],
        reason: "attributes, and which mount a file is on",
    },
    Rule {
        syscall: SYS_newfstatat,
        arguments: &[],
        reason: "attributes of a file that is found",
    },
    Rule {
        syscall: SYS_fstat,
        arguments: &[],
        reason: "attributes of an open file",
    },
    Rule {
        syscall: SYS_fstatfs,
        arguments: &[],
        reason: "STATFS: how full the file system is",
    },
    Rule {
        syscall: SYS_name_to_handle_at,
        arguments: &[],
        reason: "which mount a file is on, where statx does not tell",
    },
    Rule {
        syscall: SYS_getdents64,
        arguments: &[],
        reason: "list a folder",
    },
    Rule {
        syscall: SYS_lseek,
        arguments: &[],
        reason: "where to list a folder from, and SEEK_DATA and SEEK_HOLE",
    },
    Rule {
        syscall: SYS_pread64,
        arguments: &[],
        reason: "READ: data of an open file",
    },
    Rule {
        syscall: SYS_preadv,
        arguments: &[],
        reason: "READ: data of an open file",
    },
    Rule {
        syscall: SYS_preadv2,
        arguments: &[],
        reason: "read a file, as some C libraries spell it",
    },
    Rule {
        syscall: SYS_pwrite64,
        arguments: &[],
        reason: "WRITE: data of an open file",
    },
    Rule {
        syscall: SYS_pwritev,
        arguments: &[],
        reason: "WRITE: data of an open file",
    },
    Rule {
        syscall: SYS_pwritev2,
        arguments: &[],
        reason: "write a file, as some C libraries spell it",
    },
    Rule {
        syscall: SYS_read,
        arguments: &[],
        reason: "read /proc/self/mountinfo when a session starts over",
    },
    Rule {
        syscall: SYS_fallocate,
        arguments: &[],
        reason: "FALLOCATE: room for a file",
    },
    Rule {
        syscall: SYS_ftruncate,
        arguments: &[],
        reason: "change a file's size",
    },
    Rule {
        syscall: SYS_fsync,
        arguments: &[],
        reason: "FSYNC: what was written is on disk",
    },
    Rule {
        syscall: SYS_fdatasync,
        arguments: &[],
        reason: "FSYNC of the data alone",
    },
    Rule {
        syscall: SYS_copy_file_range,
        arguments: &[],
        reason: "COPY_FILE_RANGE",
    },
    Rule {
        syscall: SYS_fchmod,
        arguments: &[],
        reason: "change an open file's mode",
    },
    Rule {
        syscall: SYS_fchmodat,
        arguments: &[],
        reason: "change a file's mode",
    },
    Rule {
        syscall: SYS_fchownat,
        arguments: &[],
        reason: "change a file's owner",
    },
    Rule {
        syscall: SYS_utimensat,
        arguments: &[],
        reason: "change a file's times",
    },
    Rule {
        syscall: SYS_mkdirat,
        arguments: &[],
        reason: "make a folder",
    },
    Rule {
        syscall: SYS_mknodat,
        arguments: &[],
        reason: "make a pipe, a socket or a whiteout; no device, for that takes a capability",
    },
    Rule {
        syscall: SYS_symlinkat,
        arguments: &[],
        reason: "make a symbolic link",
    },
    Rule {
        syscall: SYS_linkat,
        arguments: &[],
        reason: "make another name for a file",
    },
    Rule {
        syscall: SYS_unlinkat,
        arguments: &[],
        reason: "remove a file or a folder",
    },
    Rule {
        syscall: SYS_renameat2,
        arguments: &[],
        reason: "give a file another name",
    },
    Rule {
        syscall: SYS_renameat,
        arguments: &[],
        reason: "give a file another name",
    },
    Rule {
        syscall: SYS_readlinkat,
        arguments: &[],
        reason: "read a symbolic link",
    },
    Rule {
        syscall: SYS_faccessat,
        arguments: &[],
        reason: "ACCESS: may the server reach a file",
    },
    Rule {
        syscall: SYS_getxattr,
        arguments: &[],
        reason: "read an extended attribute",
    },
    Rule {
        syscall: SYS_setxattr,
        arguments: &[],
        reason: "set an extended attribute",
    },
    Rule {
        syscall: SYS_listxattr,
        arguments: &[],
        reason: "list extended attributes",
    },
    Rule {
        syscall: SYS_removexattr,
        arguments: &[],
        reason: "remove an extended attribute",
    },
    Rule {
        syscall: SYS_umask,
        arguments: &[],
        reason: "what a message makes has the umask that came with it",
    },
    Rule {
        syscall: SYS_setresuid,
        arguments: &[],
        reason: "a file is made as the user who makes it in the guest",
    },
    Rule {
        syscall: SYS_setresgid,
        arguments: &[],
        reason: "a file is made in the group in which it is made in the guest",
    },
    Rule {
        syscall: SYS_getuid,
        arguments: &[],
        reason: "ACCESS: whom it is asked for",
    },
    Rule {
        syscall: SYS_getgid,
        arguments: &[],
        reason: "ACCESS: whom it is asked for",
    },
    Rule {
        syscall: SYS_capget,
        arguments: &[],
        reason: "whether CAP_FSETID is there before it is put aside for a write",
    },
    Rule {
        syscall: SYS_capset,
        arguments: &[],
        reason: "a write or an allocation takes the set-user-ID bit away: CAP_FSETID is put aside for it",
    },
];
