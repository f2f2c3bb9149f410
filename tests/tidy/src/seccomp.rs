//! Rule `rule-has-reason`: every entry of the monitor's seccomp tables says why the call is allowed.
//!
//! The tables are data: `Rule { syscall: …, …, reason: "…" }`, or a call `allow(…, "…")` that ends with its reason.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::rust_text::{self, Split};
use crate::tree::{self, SourceFile};

const RULE: &str = "rule-has-reason";

/// Shorter is a label, not a reason.
const SHORTEST_REASON: usize = 10;

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| holds_rules(&file.path))
        .flat_map(check_file)
        .collect()
}

/// Where the monitor keeps its filters.
fn holds_rules(path: &str) -> bool {
    let Some(below) = path.strip_prefix("runtime/vmm/src/") else {
        return false;
    };
    let is_test = below.ends_with("tests.rs") || below.contains("/tests/");
    let named = below
        .split('/')
        .any(|part| part.starts_with("seccomp") || part == "filters" || part == "filters.rs");
    named && below.ends_with(".rs") && !is_test
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let split = rust_text::split(&file.text);
    let mut findings = Vec::new();
    let mut before = "";
    for (offset, word) in rust_text::words(&split.code) {
        let declared = matches!(before, "struct" | "impl" | "fn" | "for" | "enum" | "use");
        let reason = match word {
            _ if declared => None,
            "Rule" => bracketed(&split.code, offset + word.len(), '{', '}')
                .map(|body| field_reason(&split, body)),
            "allow" if !is_attribute(&split.code, offset) => {
                bracketed(&split.code, offset + word.len(), '(', ')')
                    .map(|body| last_literal(&split, body))
            }
            _ => None,
        };
        if reason.is_some_and(|reason| reason.trim().chars().count() < SHORTEST_REASON) {
            let advice = "a seccomp rule without a reason: say why the monitor needs the call";
            findings.push(Finding::new(
                &file.path,
                tree::line_of(&split.code, offset),
                RULE,
                advice,
            ));
        }
        before = word;
    }
    findings
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

fn is_attribute(code: &str, offset: usize) -> bool {
    code.get(..offset)
        .unwrap_or_default()
        .trim_end()
        .ends_with(['[', '!'])
}
