//! Notes without an issue and ignored tests are found.

use super::*;

fn check_one(path: &str, text: &str, lines: &[usize]) {
    let found = check(&[SourceFile::new(path, text)]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{path} {text:?}: {found:?}");
}

#[test]
fn leftovers_without_an_issue_are_found() {
    check_one("a.rs", "//! Card.\n// TODO: later\n", &[2]);
    check_one("a.rs", "/* FIXME */ let a = 1; // HACK # 3\n", &[1]);
    check_one("a.rs", "// TODO(#12): later\n// TODO: see #7\n", &[]);
    check_one(
        "a.rs",
        "let a = \"TODO\"; let TODOS = 1; // todo list\n",
        &[],
    );
    check_one("Makefile", "all: # TODO\n", &[1]);
    check_one("a.config", "# TODO (#3) why\n", &[]);
    check_one("STYLE.md", "A TODO carries an issue.\n", &[]);
}

#[test]
fn leftovers_ignored_tests_are_found() {
    check_one("a.rs", "#[test]\n#[ignore]\nfn a() {}\n", &[2]);
    check_one("a.rs", "#[ignore = \"slow\"]\n", &[1]);
    check_one("a.rs", "#[cfg_attr(not(x), ignore)]\n", &[1]);
    check_one("a.rs", "#![ignore]\n", &[1]);
    check_one(
        "a.rs",
        "let ignore = [ignore]; // #[ignore]\nf(ignore);\n",
        &[],
    );
}
