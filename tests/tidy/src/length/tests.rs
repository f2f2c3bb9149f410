//! Long files and stale exceptions are found.

use super::*;

fn file(lines: usize) -> SourceFile {
    SourceFile::new("a/src/b.rs", &"x\n".repeat(lines))
}

fn check_lines(lines: usize, listed: Option<(usize, &'static str)>, expect: &[&str]) {
    let exceptions: Vec<Exception> = listed
        .map(|(most_lines, reason)| Exception {
            path: "a/src/b.rs",
            most_lines,
            reason,
        })
        .into_iter()
        .collect();
    let found = check(&[file(lines)], &exceptions);
    assert_eq!(
        found.len(),
        expect.len(),
        "{lines} lines, {listed:?}: {found:?}"
    );
    for (finding, part) in found.iter().zip(expect) {
        assert!(finding.advice.contains(part), "{finding}");
    }
}

#[test]
fn length_over_the_limit_is_found() {
    check_lines(500, None, &[]);
    check_lines(501, None, &["at most 500"]);
}

#[test]
fn length_exception_holds_to_its_own_limit_only() {
    check_lines(700, Some((700, "a table")), &[]);
    check_lines(701, Some((700, "a table")), &["at most 700"]);
}

#[test]
fn length_exception_not_needed_any_more_is_found() {
    check_lines(500, Some((700, "a table")), &["remove"]);
    check_lines(699, Some((700, "a table")), &["lower"]);
    check_lines(700, Some((700, " ")), &["reason"]);
    let gone = Exception {
        path: "gone.rs",
        most_lines: 600,
        reason: "a table",
    };
    assert_eq!(check(&[], &[gone]).len(), 1);
}
