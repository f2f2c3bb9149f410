//! Rule `plain-names`: no `mod.rs`, and no file, folder or module with a name that says nothing.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::rust_text;
use crate::tree::{self, SourceFile};

const RULE: &str = "plain-names";

/// Names that take in anything and so describe nothing.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "manager", "inner", "misc", "shared",
];

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(check_file)
        .collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.file_name() == "mod.rs" {
        let advice = "no `mod.rs`: name the file after the module, beside its folder";
        findings.push(Finding::new(&file.path, 1, RULE, advice));
    }
    for part in file.path.trim_end_matches(".rs").split('/') {
        if says_nothing(part) {
            findings.push(Finding::new(&file.path, 1, RULE, advice(part)));
        }
    }
    let code = rust_text::split(&file.text).code;
    let mut before = "";
    for (offset, word) in rust_text::words(&code) {
        if before == "mod" && says_nothing(word) {
            findings.push(Finding::new(
                &file.path,
                tree::line_of(&code, offset),
                RULE,
                advice(word),
            ));
        }
        before = word;
    }
    findings
}

fn says_nothing(name: &str) -> bool {
    EMPTY_NAMES.contains(&name.to_lowercase().as_str())
}

fn advice(name: &str) -> String {
    format!("`{name}` says nothing: name it after what is in it")
}
