//! A manifest that goes its own way is found.

use super::*;
use crate::workspace::Member;

const HEAD: &str = "[package]\nname = \"pod\"\nversion.workspace = true\nedition.workspace = true\nlicense.workspace = true\n";
const LINTS: &str = "[lints]\nworkspace = true\n";

fn check_at(folder: &str, text: &str, lines: &[usize]) {
    let member = Member {
        folder: folder.to_owned(),
        ..Member::default()
    };
    let graph = Graph::from([("pod".to_owned(), member)]);
    let found = check(&[SourceFile::new("runtime/pod/Cargo.toml", text)], &graph);
    let at: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    assert_eq!(at, lines, "{text}: {found:?}");
}

fn check_text(text: &str, lines: &[usize]) {
    check_at("runtime/pod", text, lines);
}

#[test]
fn manifest_that_inherits_everything_is_fine() {
    check_text(
        &format!(
            "{HEAD}{LINTS}[dependencies]\na.workspace = true\nb = {{ workspace = true, features = [\"x\"] }}\n"
        ),
        &[],
    );
}

#[test]
fn manifest_with_a_version_of_its_own_is_found() {
    check_text(&format!("{HEAD}{LINTS}[dependencies]\na = \"1\"\n"), &[9]);
    check_text(
        &format!("{HEAD}{LINTS}[dev-dependencies]\na = {{ version = \"1\" }}\n"),
        &[9],
    );
    check_text(
        &format!("{HEAD}{LINTS}[build-dependencies]\na = {{ path = \"../a\" }}\n"),
        &[9],
    );
    check_text(
        &format!("{HEAD}{LINTS}[target.'cfg(unix)'.dependencies]\na = \"1\"\n"),
        &[9],
    );
    check_text(
        &format!(
            "{LINTS}{}",
            HEAD.replace("version.workspace = true", "version = \"1.0.0\"")
        ),
        &[5],
    );
}

#[test]
fn manifest_without_the_lints_is_found() {
    check_text(HEAD, &[1]);
    check_text(&format!("{HEAD}[lints.clippy]\nall = \"allow\"\n"), &[1]);
}

#[test]
fn manifest_that_is_broken_missing_or_misplaced_is_found() {
    check_text("[package\n", &[1]);
    check_at("runtime/sandbox/pod", "", &[1]);
    check_at("runtime/sandbox", "", &[1, 1]);
}
