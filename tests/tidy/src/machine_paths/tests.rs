//! Paths of a machine are found; the same words inside other paths are not.

use super::*;

fn check_text(text: &str, lines: &[usize]) {
    // `~` stands for the slash, for this file is checked too.
    let found = check(&[SourceFile::new("a.sh", &text.replace('~', "/"))], &[]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{text:?}: {found:?}");
}

#[test]
fn machine_path_at_its_start_is_found() {
    check_text("a\ncd ~work/main\n", &[2]);
    check_text("\"~home/ann/src\"", &[1]);
    check_text("PATH=~root/.cargo/bin", &[1]);
}

#[test]
fn machine_path_words_elsewhere_are_fine() {
    check_text(
        "upper=/scratch~work/0 tests~work/a $dir~work/a ~work/ ~root:/bin/sh ~network/a",
        &[],
    );
}

#[test]
fn machine_path_exception_not_needed_is_found() {
    let exception = Exception {
        file: "a.sh",
        reason: "a guest's path",
    };
    let bad = SourceFile::new("a.sh", &"~home/ann/x".replace('~', "/"));
    assert_eq!(check(&[bad], &[exception]), []);
    assert_eq!(check(&[SourceFile::new("a.sh", "")], &[exception]).len(), 1);
    assert_eq!(check(&[], &[exception]).len(), 1);
}
