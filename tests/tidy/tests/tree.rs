//! Every rule, run on the checkout.
//!
//! The rules are in `tidy`; here they meet the real tree. A failure lists `path:line: rule: what to do`.

use std::sync::LazyLock;

use tidy::tree::SourceFile;
use tidy::workspace::Workspace;
use tidy::{Finding, tree, workspace};

static FILES: LazyLock<Vec<SourceFile>> =
    LazyLock::new(|| tree::read(&tree::root()).expect("git lists the files"));
static WORKSPACE: LazyLock<Workspace> =
    LazyLock::new(|| workspace::load(&tree::root()).expect("cargo knows the workspace"));

fn clean(findings: &[Finding]) {
    assert!(findings.is_empty(), "{}", tidy::report(findings));
}

#[test]
fn tree_is_read() {
    assert!(
        FILES
            .iter()
            .any(|file| file.path == "tests/tidy/tests/tree.rs"),
        "the tree has this file"
    );
    assert!(
        WORKSPACE.graph.contains_key("tidy"),
        "the workspace has this crate"
    );
    assert!(
        WORKSPACE
            .packages
            .iter()
            .any(|package| package.name == "tidy"),
        "the graph has this crate"
    );
}

#[test]
fn every_rust_file_opens_with_its_card() {
    clean(&tidy::card::check(&FILES));
}

#[test]
fn every_rust_file_is_one_idea_long() {
    clean(&tidy::length::check(&FILES, tidy::length::EXCEPTIONS));
}

#[test]
fn every_name_says_something() {
    clean(&tidy::names::check(&FILES));
}

#[test]
fn unsafe_stays_in_its_rooms() {
    clean(&tidy::rooms::check(&FILES));
}

#[test]
fn no_arrow_between_crates_turns_back() {
    let page = FILES.iter().find(|file| file.path == tidy::edges::PAGE);
    clean(&tidy::edges::check(
        page.map(|page| page.text.as_str()),
        &WORKSPACE.graph,
    ));
}

#[test]
fn monitor_has_no_async_runtime() {
    clean(&tidy::closure::check(
        &WORKSPACE.packages,
        tidy::closure::BARE,
    ));
}

#[test]
fn wrapped_packages_stay_behind_their_door() {
    clean(&tidy::doors::check(&WORKSPACE.packages, tidy::doors::DOORS));
}

#[test]
fn manifests_keep_to_the_one_version_table() {
    clean(&tidy::manifests::check(&FILES, &WORKSPACE.graph));
}

#[test]
fn every_licence_is_allowed() {
    clean(&tidy::licences::check(
        &WORKSPACE.packages,
        tidy::licences::EXCEPTIONS,
    ));
}

#[test]
fn every_package_has_one_version() {
    clean(&tidy::versions::check(
        &WORKSPACE.packages,
        tidy::versions::EXCEPTIONS,
    ));
}

#[test]
fn every_seccomp_rule_has_a_reason() {
    clean(&tidy::seccomp::check(&FILES));
}

#[test]
fn every_kernel_option_has_a_reason() {
    clean(&tidy::kernel_options::check(&FILES));
}

#[test]
fn every_constant_time_has_a_unit() {
    clean(&tidy::deadlines::check(&FILES, tidy::deadlines::EXCEPTIONS));
}

#[test]
fn changelog_has_its_form() {
    clean(&tidy::changelog::check(&FILES));
}

#[test]
fn nothing_is_left_over() {
    clean(&tidy::leftovers::check(&FILES));
}

#[test]
fn no_path_of_one_machine_is_named() {
    clean(&tidy::machine_paths::check(
        &FILES,
        tidy::machine_paths::EXCEPTIONS,
    ));
}

#[test]
fn lines_are_clean() {
    clean(&tidy::whitespace::check(&FILES));
}

#[test]
fn examples_are_no_programs() {
    clean(&tidy::examples::check(&FILES));
}
