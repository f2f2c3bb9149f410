//! Blocks that rustdoc would take for programs are found.

use super::*;

fn check_text(text: &str, lines: &[usize]) {
    let found = check(&[SourceFile::new("a.rs", text)]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{text:?}: {found:?}");
}

#[test]
fn block_that_is_a_program_is_found() {
    check_text("//! A.\n//! ```\n//! let a = 1;\n//! ```\n", &[2]);
    check_text("    /// ```no_run\n    /// f();\n    /// ```\n", &[1]);
}

#[test]
fn block_of_text_is_none() {
    let text = "//! ```text\n//! a -> b\n//! ```\n\n/// ```text\n/// a\n/// ```\nfn f() {}\n";
    check_text(text, &[]);
}

#[test]
fn fence_in_a_string_is_no_documentation() {
    check_text("const A: &str = \"```\";\n// ```\n", &[]);
}
