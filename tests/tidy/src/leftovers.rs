//! Rule `no-leftovers`: a note about work to do carries its issue's number, and no test is switched off.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::rust_text;
use crate::tree::{self, SourceFile, numbered};

const RULE: &str = "no-leftovers";

/// Marks of work to do, as people write them.
const MARKS: &[&str] = &["TODO", "FIXME", "HACK"];

/// Texts people read about the rule itself; they name the marks.
const PROSE_ENDS: &[&str] = &[".md", ".lock"];

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    if !file.is_rust() {
        let prose = PROSE_ENDS.iter().any(|end| file.path.ends_with(end));
        return if prose {
            Vec::new()
        } else {
            marks(file, &file.text)
        };
    }
    let split = rust_text::split(&file.text);
    let mut findings = marks(file, &split.comments);
    findings.extend(switched_off(file, &split.code));
    findings
}

fn marks(file: &SourceFile, text: &str) -> Vec<Finding> {
    let without_issue =
        numbered(text).filter(|(_, line)| has_mark(line) && !has_issue_number(line));
    without_issue
        .map(|(number, _)| {
            let advice =
                "work to do needs an issue: write its number as #N on the same line, or do it now";
            Finding::new(&file.path, number, RULE, advice)
        })
        .collect()
}

fn has_mark(line: &str) -> bool {
    rust_text::words(line).any(|(_, word)| MARKS.contains(&word))
}

fn has_issue_number(line: &str) -> bool {
    line.split('#')
        .skip(1)
        .any(|after| after.starts_with(|character: char| character.is_ascii_digit()))
}

/// `#[ignore]`, with or without a reason, also inside `cfg_attr`.
fn switched_off(file: &SourceFile, code: &str) -> Vec<Finding> {
    let ignores = rust_text::words(code)
        .filter(|(offset, word)| *word == "ignore" && in_attribute(code, *offset));
    ignores
        .map(|(offset, _)| {
            let advice = "no ignored test: probe what it needs and print a skip, or remove it";
            Finding::new(&file.path, tree::line_of(code, offset), RULE, advice)
        })
        .collect()
}

/// Whether the last bracket opened before `offset` is an attribute's.
fn in_attribute(code: &str, offset: usize) -> bool {
    let before = code.get(..offset).unwrap_or_default();
    let opened = before
        .rfind('[')
        .filter(|at| before.rfind(']').is_none_or(|closed| closed < *at));
    opened.is_some_and(|at| {
        before
            .get(..at)
            .unwrap_or_default()
            .trim_end()
            .ends_with(['#', '!'])
    })
}
