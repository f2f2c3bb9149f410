//! What a rule found: a place, the rule's name and what to do about it.
//!
//! Main type: [`Finding`]. Every rule returns a list of them; `tests/tree.rs` prints the list.

use std::fmt;

/// One broken rule at one place. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    /// The rule's name, as STYLE.md cites it or as its file is called.
    pub rule: &'static str,
    /// What to do, not only what is wrong.
    pub advice: String,
}

impl Finding {
    pub fn new(path: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.path, self.line, self.rule, self.advice
        )
    }
}

/// All findings, one a line, as a failed test shows them.
pub fn report(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| format!("\n{finding}"))
        .collect()
}
