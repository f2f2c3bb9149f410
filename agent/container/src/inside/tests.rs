//! Nothing outside of the root is touched, whatever links are in it.

use std::{fs, os::unix::fs::symlink};

use super::*;

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/passwd"), "inside").unwrap();
    symlink("/etc", root.path().join("absolute")).unwrap();
    symlink("../../../../..", root.path().join("up")).unwrap();
    symlink("/no/where", root.path().join("broken")).unwrap();
    root
}

#[test]
fn links_lead_inside() {
    let root = root();
    let check = |path: &str| {
        let content = std::io::read_to_string(file(root.path(), Path::new(path)).unwrap());
        assert_eq!(content.unwrap(), "inside", "{path}");
    };
    check("/etc/passwd");
    check("/absolute/passwd");
    check("/up/etc/passwd");
    check("/../../etc/passwd");
}

#[test]
fn only_a_link_that_leads_nowhere_is_removed() {
    let root = root();
    let check = |path: &str, expect: bool| {
        remove_broken_link(root.path(), Path::new(path)).unwrap();
        let there = fs::symlink_metadata(root.path().join(&path[1..])).is_ok();
        assert_eq!(there, expect, "{path}");
    };
    check("/broken", false);
    check("/broken", false);
    check("/no/where", false);
    check("/up", true);
    check("/absolute", true);
    check("/etc/passwd", true);
}

#[test]
fn working_directory_is_made_inside() {
    let root = root();
    let check = |path: &str, expect: &str| {
        working_directory(root.path(), Path::new(path), None).unwrap();
        assert!(root.path().join(expect).is_dir(), "{path}");
    };
    check("/", "etc");
    check("/etc", "etc");
    check("/a/b/c", "a/b/c");
    check("/absolute/new", "etc/new");
    check("/up/top", "top");
}

#[test]
fn working_directory_that_cannot_be_is_named() {
    let root = root();
    let check = |path: &str| {
        let failure = working_directory(root.path(), Path::new(path), None).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Precondition);
        assert!(failure.message.contains(path), "{}", failure.message);
    };
    check("/etc/passwd");
    check("/etc/passwd/below");
    check("/broken/below");
}
