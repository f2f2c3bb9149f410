//! Tests of the table: that it compiles, says why, and holds to what no thread may ever do.

use super::*;
use crate::jail::filter;

#[test]
fn table_compiles_and_has_reasons() {
    assert!(!filter::compile().unwrap().is_empty());
    for rule in RULES {
        assert!(rule.reason.len() >= 5, "{}", rule.syscall);
    }
}

#[test]
fn server_may_not_mount_connect_execute_or_open_by_handle() {
    let never = [
        libc::SYS_open_by_handle_at,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_recvmsg,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kill,
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_ioctl,
        libc::SYS_keyctl,
        libc::SYS_prctl,
    ];
    let found = RULES.iter().find(|rule| never.contains(&rule.syscall));
    assert!(found.is_none(), "{found:?}");
}

#[test]
fn calls_with_many_meanings_are_allowed_by_argument_only() {
    let by_argument = [
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_fcntl,
        libc::SYS_tgkill,
    ];
    for rule in RULES {
        let bare = rule.arguments.is_empty() && by_argument.contains(&rule.syscall);
        assert!(!bare, "{rule:?}");
    }
}

#[test]
fn no_call_is_allowed_twice_for_the_same_arguments() {
    let mut seen = std::collections::BTreeSet::new();
    for rule in RULES {
        let key = format!("{} {:?}", rule.syscall, rule.arguments);
        assert!(seen.insert(key), "{rule:?}");
    }
}
