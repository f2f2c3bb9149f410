//! Tests of the tables: that they compile, say why, and hold to what no thread may ever do.

use super::*;

const KINDS: [Kind; 8] = [
    Kind::Control,
    Kind::ControlWithFunctions,
    Kind::Processor,
    Kind::ProcessorWithFunctions,
    Kind::Devices,
    Kind::Disk,
    Kind::Nic,
    Kind::Share,
];

fn rules(kind: Kind) -> impl Iterator<Item = &'static Rule> {
    kind.tables().iter().copied().flatten()
}

#[test]
fn every_table_compiles() {
    for kind in KINDS {
        assert!(!kind.program().unwrap().is_empty());
    }
    assert!(!filter::without_clone3().unwrap().is_empty());
}

#[test]
fn every_rule_has_a_reason() {
    for rule in KINDS.into_iter().flat_map(rules) {
        assert!(rule.reason.len() >= 10, "{}", rule.syscall);
    }
}

#[test]
fn no_thread_may_open_connect_or_execute() {
    let never = [
        libc::SYS_open,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_open_by_handle_at,
        libc::SYS_creat,
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_kill,
        libc::SYS_pidfd_send_signal,
        libc::SYS_memfd_create,
    ];
    for kind in KINDS {
        let found = rules(kind).find(|rule| never.contains(&rule.syscall));
        assert!(found.is_none(), "{kind:?}: {found:?}");
    }
}

#[test]
fn calls_with_many_meanings_are_allowed_by_argument_only() {
    let by_argument = [
        libc::SYS_ioctl,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_clone,
        libc::SYS_prctl,
        libc::SYS_seccomp,
        libc::SYS_fcntl,
        libc::SYS_tgkill,
        libc::SYS_accept4,
    ];
    for rule in KINDS.into_iter().flat_map(rules) {
        let bare = rule.arguments.is_empty() && by_argument.contains(&rule.syscall);
        assert!(!bare, "{rule:?}");
    }
}

/// How many calls each kind of thread may make, so that a longer list is a decision.
#[test]
fn tables_stay_short() {
    for (kind, most) in [
        (Kind::Control, 53),
        (Kind::ControlWithFunctions, 55),
        (Kind::Processor, 27),
        (Kind::ProcessorWithFunctions, 29),
        (Kind::Devices, 34),
        (Kind::Disk, 29),
        (Kind::Nic, 27),
        (Kind::Share, 28),
    ] {
        let calls: std::collections::BTreeSet<i64> = rules(kind).map(|rule| rule.syscall).collect();
        assert!(
            calls.len() <= most,
            "{kind:?} may make {} calls",
            calls.len()
        );
    }
}

#[test]
fn no_call_is_allowed_twice_for_the_same_arguments() {
    for kind in KINDS {
        for table in kind.tables() {
            let mut seen = std::collections::BTreeSet::new();
            for rule in *table {
                let key = format!("{} {:?}", rule.syscall, rule.arguments);
                assert!(seen.insert(key), "{kind:?}: {rule:?}");
            }
        }
    }
}
