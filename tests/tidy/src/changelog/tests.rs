//! A changelog of another form is found.

use super::*;

fn check_text(text: &str, lines: &[usize]) {
    let found = check(&[SourceFile::new(PATH, text)]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{text:?}: {found:?}");
}

#[test]
fn changelog_of_the_right_form_is_fine() {
    check_text(
        "# Changelog\n\nWhat users see.\n\n## Unreleased\n\n### Added\n- a\n- b\n\n## 0.1.0 - 2026-11-21\n- c\n",
        &[],
    );
}

#[test]
fn changelog_of_another_form_is_found() {
    check_text("# Changelog\n", &[1]);
    check_text("## 0.1.0\n- a\n## Unreleased\n", &[1, 3]);
    check_text("## Unreleased\n* a\n", &[2]);
    check_text("## Unreleased\n- a\n  and more\n", &[3]);
    check_text(&format!("## Unreleased\n- {}\n", "a".repeat(199)), &[2]);
    assert_eq!(check(&[]).len(), 1);
}
