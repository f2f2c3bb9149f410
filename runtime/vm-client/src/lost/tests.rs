//! Tests of the words for a monitor's death.

use super::*;

fn check(raw_status: i32, complaint: &str, expect: &str) {
    let ending = ending(Death::Known(ExitStatus::from_raw(raw_status)), complaint);
    assert_eq!(ending.reason, EndReason::Lost);
    assert_eq!(ending.text, expect);
}

#[test]
fn death_by_signal_names_the_signal() {
    check(
        9,
        "",
        "the monitor was killed by signal 9 (SIGKILL: someone on this host, or the kernel for want of memory)",
    );
    check(
        31 | 0x80,
        "",
        "the monitor was killed by signal 31 (SIGSYS: it made a system call that its seccomp filter forbids)",
    );
}

#[test]
fn death_by_exit_tells_status_and_complaint() {
    check(
        101 << 8,
        "thread 'main' panicked\u{1b}\n",
        "the monitor ended with status 101 without a last word; it wrote: thread 'main' panicked\\u{1b}",
    );
}

#[test]
fn death_of_a_foreign_child_says_what_is_unknown() {
    assert!(ending(Death::Unknown, "").text.contains("can't be learnt"));
}
