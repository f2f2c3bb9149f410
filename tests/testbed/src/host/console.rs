//! Reads the kernel's log of a host that ended without a result: what it complained of, and its last lines.

use std::fs;
use std::path::Path;

/// Lines that are shown of a dead host's log.
const TAIL_LINES: usize = 25;

/// What a kernel says when it is no longer able to run a test. Each is also printed by a host that recovers, so they count only
/// when the command did not come to its end.
const TROUBLE: [&str; 7] = [
    "Kernel panic",
    "BUG: ",
    "Oops: ",
    "soft lockup",
    "blocked for more than",
    "detected stall",
    "testbed-init: cannot",
];

/// The text of a log, whatever its bytes are; nothing if it was never begun.
pub(super) fn read(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The first line that shows that the host itself is in trouble.
pub(super) fn trouble(log: &str) -> Option<String> {
    log.lines()
        .find(|line| TROUBLE.iter().any(|sign| line.contains(sign)))
        .map(|line| line.trim().to_owned())
}

/// What QEMU itself said, without the features of the CPU model that it never emulates.
pub(super) fn complaints(messages: &str) -> String {
    let lines = messages
        .lines()
        .filter(|line| !line.contains("TCG doesn't support requested feature"));
    lines.collect::<Vec<_>>().join("; ")
}

pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_first_line_that_says_so() {
        let check = |log, expected: Option<&str>| assert_eq!(trouble(log).as_deref(), expected);
        check("[1.0] kvm: Nested Paging enabled\n", None);
        check("[1.0] Out of memory: Killed process 12 (sh)\n", None);
        check(
            "[1.0] a\n[2.0] Kernel panic - not syncing\r\n",
            Some("[2.0] Kernel panic - not syncing"),
        );
        check(
            "INFO: task qemu:12 blocked for more than 120 seconds.\nBUG: x\n",
            Some("INFO: task qemu:12 blocked for more than 120 seconds."),
        );
    }

    #[test]
    fn complaints_leave_out_what_is_always_said() {
        let said =
            "qemu: warning: TCG doesn't support requested feature: CPUID.x\nqemu: no such file\n";
        assert_eq!(complaints(said), "qemu: no such file");
    }

    #[test]
    fn tail_of_long_log_is_its_last_lines() {
        let log: String = (0..100).map(|line| format!("{line}\n")).collect();
        let tail = tail(&log);
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("99"));
    }
}
