//! The profile allows what programs need and nothing that makes namespaces or loads code into the kernel.

use std::collections::BTreeSet;

use super::*;

#[test]
fn allowed_names_are_named_once() {
    let mut seen = BTreeSet::new();
    for name in ALLOWED.iter().copied().flatten() {
        assert!(seen.insert(*name), "{name} is listed twice");
    }
}

#[test]
fn dangerous_calls_are_not_allowed() {
    let allowed: BTreeSet<&str> = ALLOWED.iter().copied().flatten().copied().collect();
    for name in [
        "mount",
        "umount2",
        "pivot_root",
        "unshare",
        "setns",
        "clone",
        "clone3",
        "bpf",
        "init_module",
        "finit_module",
        "kexec_load",
        "reboot",
        "swapon",
        "iopl",
        "ioperm",
        "keyctl",
        "add_key",
        "request_key",
        "userfaultfd",
        "perf_event_open",
        "io_uring_setup",
        "open_by_handle_at",
        "clock_settime",
        "settimeofday",
        "sethostname",
        "move_mount",
        "open_tree",
        "fsopen",
        "acct",
    ] {
        assert!(!allowed.contains(name), "{name}");
    }
}

#[test]
fn default_is_eperm_and_clone3_does_not_exist() {
    let profile = runtime_default().unwrap();
    assert_eq!(profile.default_action(), LinuxSeccompAction::ScmpActErrno);
    assert_eq!(profile.default_errno_ret(), Some(EPERM));
    let rules = profile.syscalls().clone().unwrap();
    let clone3 = rules
        .iter()
        .find(|rule| rule.names() == &["clone3".to_owned()])
        .unwrap();
    assert_eq!(clone3.errno_ret(), Some(ENOSYS));
}
