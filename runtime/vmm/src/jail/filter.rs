//! System call filters: from a table of [`Rule`]s to a program in the kernel. Main functions: [`compile`] and [`install`]. The
//! tables are in [`filters`](super::filters), one file per kind of thread.
//!
//! Each thread installs its own filter as its first act; a thread that is made later by a filtered one is under both. A system call
//! that no rule allows kills the process: the launcher sees SIGSYS.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use thiserror::Error;

/// One thing that a kind of thread may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// The system call's number.
    pub(crate) syscall: i64,
    /// What its arguments have to be; all of these.
    pub(crate) arguments: &'static [Argument],
    /// Why the thread needs it. Read by people and by tests/tidy only.
    #[cfg_attr(not(test), expect(dead_code, reason = "documentation that tests read"))]
    pub(crate) reason: &'static str,
}

/// What one argument has to be. The lower 32 bits are compared: of the calls in the tables none takes more.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument {
    /// The argument of this index is the value.
    Is(u8, u64),
    /// The argument of this index has all of these bits.
    Has(u8, u64),
    /// The argument of this index has none of these bits.
    Lacks(u8, u64),
}

/// Why there is no filter.
#[derive(Debug, Error)]
pub(crate) enum FilterError {
    /// The table can't be written as a program.
    #[error("compile the system call filter")]
    Compile(#[source] seccompiler::BackendError),
    /// The kernel refused it.
    #[error(
        "install the system call filter; the kernel needs seccomp filters (CONFIG_SECCOMP_FILTER)"
    )]
    Install(#[source] seccompiler::Error),
}

/// Writes a table as a program. It allocates, so it is done before threads start to run.
pub(crate) fn compile(table: &[&[Rule]]) -> Result<BpfProgram, FilterError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut without_arguments = Vec::new();
    for rule in table.iter().copied().flatten() {
        let alternatives = rules.entry(rule.syscall).or_default();
        if rule.arguments.is_empty() {
            without_arguments.push(rule.syscall);
        } else {
            alternatives.push(conditions(rule.arguments).map_err(FilterError::Compile)?);
        }
    }
    // No alternative means that any arguments will do.
    for syscall in without_arguments {
        rules.insert(syscall, Vec::new());
    }
    let kill = SeccompAction::KillProcess;
    SeccompFilter::new(rules, kill, SeccompAction::Allow, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .map_err(FilterError::Compile)
}

/// A filter that answers clone3 with "no such call" and says nothing about others. The flags of clone3 lie in memory, where no
/// filter sees them; the C library falls back to clone, where they are in a register.
pub(crate) fn without_clone3() -> Result<BpfProgram, FilterError> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let no_such_call = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        no_such_call,
        TargetArch::x86_64,
    )
    .and_then(BpfProgram::try_from)
    .map_err(FilterError::Compile)
}

/// Puts the calling thread, and those it makes from now on, under the program.
pub(crate) fn install(program: &BpfProgram) -> Result<(), FilterError> {
    seccompiler::apply_filter(program).map_err(FilterError::Install)
}

fn conditions(arguments: &[Argument]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = arguments.iter().map(|argument| {
        let (index, operator, value) = match *argument {
            Argument::Is(index, value) => (index, SeccompCmpOp::Eq, value),
            Argument::Has(index, bits) => (index, SeccompCmpOp::MaskedEq(bits), bits),
            Argument::Lacks(index, bits) => (index, SeccompCmpOp::MaskedEq(bits), 0),
        };
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}
