//! A seccomp rule without a reason is found.

use super::*;

/// Beside the rules under test stands a good one: a file without any is a finding of its own.
const GOOD: &str = "Rule { syscall: \"read\", reason: \"eventfds are read\" },";

fn check_text(text: &str, lines: &[usize]) {
    let good = SourceFile::new("runtime/vmm/src/jail/filters/good.rs", GOOD);
    let found = check(&[
        SourceFile::new("runtime/vmm/src/jail/seccomp.rs", text),
        good,
    ]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{text:?}: {found:?}");
}

#[test]
fn seccomp_rule_with_a_reason_is_fine() {
    check_text(
        "Rule { syscall: \"read\", when: Any, reason: \"eventfds are read\" },\n",
        &[],
    );
    check_text(
        "Rule {\n  reason: \"eventfds, and pipes, are read\",\n  when: If { arg: 1 },\n}\n",
        &[],
    );
    check_text(
        "allow(libc::SYS_read, \"eventfds are read\"),\nallow(\n  call,\n  \"eventfds are read\",\n)",
        &[],
    );
    check_text(
        "struct Rule { reason: &'static str }\nimpl Rule {}\nfn allow(a: u8) {}\n#[allow(dead_code)]\nfn f() -> Rule { a }\n",
        &[],
    );
}

#[test]
fn seccomp_rule_without_a_reason_is_found() {
    check_text("Rule { syscall: \"read_a_long_name\", when: Any },\n", &[1]);
    check_text("a\nRule { syscall: \"read\", reason: \"\" },\n", &[2]);
    check_text(
        "Rule { reason: \"short\", syscall: \"read_a_long_name\" },\n",
        &[1],
    );
    check_text(
        "Rule { syscall: \"read\" /* reason: \"a comment is none\" */ },\n",
        &[1],
    );
    check_text(
        "allow(libc::SYS_read, \"\"),\nallow(\"read_a_long_name\", ANY),\n",
        &[1, 2],
    );
}

#[test]
fn seccomp_rules_are_looked_for_where_the_monitor_keeps_them() {
    let bad = "Rule { syscall: \"read\" }\n";
    let found = |path| {
        let files = [
            SourceFile::new(path, bad),
            SourceFile::new("runtime/vmm/src/seccomp.rs", GOOD),
        ];
        check(&files).len()
    };
    assert_eq!(found("runtime/vmm/src/jail/filters/vcpu.rs"), 1);
    assert_eq!(found("runtime/vmm/src/seccomp/vcpu.rs"), 1);
    assert_eq!(found("runtime/vmm/src/jail/seccomp/tests.rs"), 0);
    assert_eq!(found("runtime/vmm/src/main.rs"), 0);
    assert_eq!(found("runtime/pod/src/seccomp.rs"), 0);
}

#[test]
fn seccomp_rules_that_are_nowhere_are_found() {
    assert_eq!(check(&[]).len(), 1);
    assert_eq!(
        check(&[SourceFile::new("runtime/vmm/src/main.rs", GOOD)]).len(),
        1
    );
}
