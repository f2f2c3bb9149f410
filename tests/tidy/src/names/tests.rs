//! Names that say nothing are found in paths and in module items.

use super::*;

fn check_one(path: &str, text: &str, lines: &[usize]) {
    let found = check(&[SourceFile::new(path, text)]);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{path} {text:?}: {found:?}");
}

#[test]
fn names_of_files_and_folders_that_say_nothing_are_found() {
    check_one("runtime/pod/src/utils.rs", "", &[1]);
    check_one("runtime/pod/src/helpers/time.rs", "", &[1]);
    check_one("runtime/common/src/lib.rs", "", &[1]);
    check_one("runtime/pod/src/start/mod.rs", "", &[1]);
    check_one("runtime/pod/src/start.rs", "", &[]);
    check_one("docs/common.md", "", &[]);
}

#[test]
fn names_of_modules_that_say_nothing_are_found() {
    check_one("a.rs", "mod start;\npub mod manager;\n", &[2]);
    check_one("a.rs", "mod inner { }\n", &[1]);
    check_one(
        "a.rs",
        "mod /* utils */ start; // mod utils\nlet inner = \"mod utils\";\n",
        &[],
    );
}
