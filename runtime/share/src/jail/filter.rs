//! The system call filter: from the table of `Rule`s to a program in the kernel. Main functions: `compile` and `install`. The table
//! is in `filters`.
//!
//! Each thread installs it as its first act. A system call that no rule allows kills the process: the pod's shares then fail.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use thiserror::Error;

use super::filters::RULES;

/// One thing that a thread may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// The system call's number.
    pub(crate) syscall: i64,
    /// What its arguments have to be; all of these.
    pub(crate) arguments: &'static [Argument],
    /// Why the thread needs it. Read by people and by tests only.
    #[cfg_attr(not(test), expect(dead_code, reason = "documentation that tests read"))]
    pub(crate) reason: &'static str,
}

/// What one argument has to be, of which the lower 32 bits are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument {
    /// The argument of this index is the value.
    Is(u8, u64),
    /// The argument of this index has none of these bits.
    Lacks(u8, u64),
}

/// Why there is no filter.
#[derive(Debug, Error)]
pub enum FilterError {
    /// The table can't be written as a program.
    #[error("compile the system call filter")]
    Compile(#[source] seccompiler::BackendError),
    /// The kernel refused it.
    #[error(
        "install the system call filter; the kernel needs seccomp filters (CONFIG_SECCOMP_FILTER)"
    )]
    Install(#[source] seccompiler::Error),
}

/// Writes the table as a program.
pub(crate) fn compile() -> Result<BpfProgram, FilterError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in RULES {
        let alternatives = rules.entry(rule.syscall).or_default();
        // No alternative means that any arguments will do.
        if !rule.arguments.is_empty() {
            alternatives.push(conditions(rule.arguments).map_err(FilterError::Compile)?);
        }
    }
    let kill = SeccompAction::KillProcess;
    SeccompFilter::new(rules, kill, SeccompAction::Allow, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .map_err(FilterError::Compile)
}

/// Puts the calling thread under the program.
pub(crate) fn install(program: &BpfProgram) -> Result<(), FilterError> {
    seccompiler::apply_filter(program).map_err(FilterError::Install)
}

fn conditions(arguments: &[Argument]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = arguments.iter().map(|argument| {
        let (index, operator, value) = match *argument {
            Argument::Is(index, value) => (index, SeccompCmpOp::Eq, value),
            Argument::Lacks(index, bits) => (index, SeccompCmpOp::MaskedEq(bits), 0),
        };
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}
