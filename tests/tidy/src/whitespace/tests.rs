//! Tabs and trailing blanks are found.

use super::*;

fn check_text(text: &str, lines: &[usize]) {
    let found = check(&[SourceFile::new("a.rs", text)]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{text:?}: {found:?}");
}

#[test]
fn whitespace_that_does_not_belong_is_found() {
    check_text("a\nb \n", &[2]);
    check_text("a\n\tb\n", &[2]);
    check_text("a\r\nb\n", &[1]);
    check_text("a\n    b\n\nc", &[]);
}

#[test]
fn whitespace_of_other_files_is_theirs() {
    assert_eq!(check(&[SourceFile::new("Makefile", "all:\n\ttrue \n")]), []);
}
