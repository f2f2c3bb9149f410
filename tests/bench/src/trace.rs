//! Counts the system calls of a monitor from its exec to its first KVM_RUN, from what `strace -f -o` wrote. Pure, but for reading the
//! file. Main function: [`count`].

use std::collections::BTreeSet;

/// Counts in `trace` what the process that executed a program whose path contains `program`, and its descendants, called until the
/// first of them called KVM_RUN. `None` when that never happened.
pub(crate) fn count(trace: &str, program: &str) -> Option<u64> {
    let mut family: BTreeSet<&str> = BTreeSet::new();
    let mut calls = 0;
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if rest.starts_with("execve(") && rest.contains(program) && !rest.contains("strace") {
            family.insert(pid);
        }
        if !family.contains(pid) {
            continue;
        }
        if let Some(child) = child_of(rest) {
            family.insert(child);
        }
        // Signals and exits are no calls; a resumed call has been counted when it began.
        if rest.starts_with("---") || rest.starts_with("+++") || rest.starts_with("<...") {
            continue;
        }
        if rest.starts_with("ioctl(") && rest.contains("KVM_RUN") {
            return Some(calls);
        }
        calls += 1;
    }
    None
}

/// The child that a call made, from its result: also in the line where the call resumes.
fn child_of(rest: &str) -> Option<&str> {
    let call = rest.strip_prefix("<... ").unwrap_or(rest);
    let makes = ["fork", "vfork", "clone", "clone3"].iter().any(|name| {
        call.strip_prefix(name)
            .is_some_and(|after| after.starts_with('(') || after.starts_with(' '))
    });
    let (_, result) = call.rsplit_once(" = ")?;
    let pid = result.split_whitespace().next()?;
    let number = pid.bytes().all(|byte| byte.is_ascii_digit()) && pid != "0";
    (makes && number).then_some(pid)
}

#[cfg(test)]
mod tests;
