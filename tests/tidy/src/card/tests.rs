//! A file without a card is found.

use super::*;

fn check_text(text: &str, findings: usize) {
    let found = check(&[SourceFile::new("a/src/b.rs", text)]);
    assert_eq!(found.len(), findings, "{text:?}: {found:?}");
}

#[test]
fn card_missing_or_empty_is_found() {
    check_text("", 1);
    check_text("fn main() {}\n", 1);
    check_text("// a plain comment\n", 1);
    check_text("//!\n//! late\n", 1);
    check_text("use std::fs;\n//! late\n", 1);
    check_text("//! What it is for.\n", 0);
}

#[test]
fn card_is_asked_of_rust_only() {
    assert_eq!(check(&[SourceFile::new("README.md", "# Title\n")]), []);
}
