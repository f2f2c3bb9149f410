//! Rule `rule-has-reason`: every entry of the monitor's seccomp tables says why the call is allowed.
//!
//! The tables are data: `Rule { syscall: …, …, reason: "…" }`, or a call `allow(…, "…")` that ends with its reason.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::rust_text::{self, Split};
use crate::tree::{self, SourceFile};

const RULE: &str = "rule-has-reason";

/// Where the tables are, for a finding about all of them.
const TABLES: &str = "runtime/vmm/src";

/// Shorter is a label, not a reason.
const SHORTEST_REASON: usize = 10;

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    let tables: Vec<&SourceFile> = files
        .iter()
        .filter(|file| holds_rules(&file.path))
        .collect();
    let mut findings = Vec::new();
    let mut rules = 0;
    for file in tables {
        for (line, reason) in reasons(file) {
            rules += 1;
            if reason.chars().count() < SHORTEST_REASON {
                let advice = "a seccomp rule without a reason: say why the program needs the call";
                findings.push(Finding::new(&file.path, line, RULE, advice));
            }
        }
    }
    if rules == 0 {
        let advice = "no seccomp rule is where this test looks: mend tests/tidy/src/seccomp.rs";
        findings.push(Finding::new(TABLES, 1, RULE, advice));
    }
    findings
}

/// Where the monitor and the share server keep their filters.
fn holds_rules(path: &str) -> bool {
    let jailed = ["runtime/vmm/src/", "runtime/share/src/"];
    let Some(below) = jailed.iter().find_map(|jail| path.strip_prefix(jail)) else {
        return false;
    };
    let is_test = below.ends_with("tests.rs") || below.contains("/tests/");
    let named = below
        .split('/')
        .any(|part| part.starts_with("seccomp") || part == "filters" || part == "filters.rs");
    named && below.ends_with(".rs") && !is_test
}

/// The line and the reason of each rule; an empty reason where there is none.
fn reasons(file: &SourceFile) -> Vec<(usize, String)> {
    let split = rust_text::split(&file.text);
    let mut found = Vec::new();
    let mut before = "";
    for (offset, word) in rust_text::words(&split.code) {
        let declared = matches!(before, "struct" | "impl" | "fn" | "for" | "enum" | "use");
        let from = offset + word.len();
        let reason = match word {
            _ if declared || !is_value(&split.code, offset) => None,
            "Rule" => bracketed(&split.code, from, '{', '}').map(|body| field_reason(&split, body)),
            "allow" => {
                bracketed(&split.code, from, '(', ')').map(|body| last_literal(&split, body))
            }
            _ => None,
        };
        found.extend(reason.map(|reason| (tree::line_of(&split.code, offset), reason)));
        before = word;
    }
    found
}

/// The span between the bracket that directly follows `from` and its partner.
fn bracketed(code: &str, from: usize, open: char, close: char) -> Option<(usize, usize)> {
    let rest = code.get(from..)?;
    let start = from + (rest.len() - rest.trim_start().len());
    let body = code.get(start..)?;
    if !body.starts_with(open) {
        return None;
    }
    let mut depth = 0_usize;
    for (at, character) in body.char_indices() {
        depth = match character {
            _ if character == open => depth + 1,
            _ if character == close => depth - 1,
            _ => depth,
        };
        if depth == 0 {
            return Some((start + 1, start + at));
        }
    }
    None
}

/// The text of the literal after `reason:`; empty if there is none.
fn field_reason(split: &Split, (start, end): (usize, usize)) -> String {
    let body = split.code.get(start..end).unwrap_or_default();
    let field = rust_text::words(body)
        .find(|(_, word)| *word == "reason")
        .map(|(at, _)| start + at);
    let after = field
        .and_then(|at| split.literals.get(at..end))
        .unwrap_or_default();
    let value_ends = field
        .and_then(|at| split.code.get(at..end))
        .and_then(|code| code.find(','));
    literal_text(
        after
            .get(..value_ends.unwrap_or(after.len()))
            .unwrap_or_default(),
    )
}

fn last_literal(split: &Split, (start, end): (usize, usize)) -> String {
    let code = split.code.get(start..end).unwrap_or_default();
    let code = code.trim_end().trim_end_matches(',');
    let last = code.rfind(',').map_or(start, |at| start + at);
    literal_text(split.literals.get(last..end).unwrap_or_default())
}

fn literal_text(literal: &str) -> String {
    literal
        .trim()
        .trim_matches(['"', '#', 'r'])
        .trim()
        .to_owned()
}

/// Whether a word may begin a value: what an attribute names and what a function returns do not.
fn is_value(code: &str, offset: usize) -> bool {
    let before = code.get(..offset).unwrap_or_default().trim_end();
    !before.ends_with("#[") && !before.ends_with("#![") && !before.ends_with("->")
}
