//! Lists of small trees: each aspect shows, what does not matter does not, and what can't be listed is said.

use std::fs::{File, Permissions, hard_link, set_permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{Mode, Timespec, Timestamps};
use tempfile::TempDir;

use super::*;

/// A tree with one file of one second's age, so that two of them are equal.
fn tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "content").unwrap();
    settle(&folder.path().join("file"));
    settle(folder.path());
    folder
}

fn settle(path: &Path) {
    let one = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: one,
        last_modification: one,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Changes one of two equal trees; how many lines differ then, the root's time left aside.
fn check(change: impl FnOnce(&Path), expect: &[&str]) {
    let (one, other) = (tree(), tree());
    change(one.path());
    settle(one.path());
    let list = |folder: &TempDir| Listing::of(folder.path()).text().unwrap();
    let found = differences(&list(&one), &list(&other));
    assert_eq!(found.len(), expect.len(), "{found:#?}");
    for (found, expect) in found.iter().zip(expect) {
        assert!(found.contains(expect), "{expect} in {found}");
    }
}

#[test]
fn differences_each_aspect_is_one() {
    check(|_| {}, &[]);
    let file = |root: &Path| File::options().write(true).open(root.join("file")).unwrap();
    let mode = |root: &Path| {
        set_permissions(root.join("file"), Permissions::from_mode(0o4644)).unwrap();
    };
    check(mode, &["104644"]);
    let nanosecond = |root: &Path| {
        let time = UNIX_EPOCH + Duration::new(1, 1);
        file(root).set_modified(time).unwrap();
    };
    check(nanosecond, &["1.000000001"]);
    let content = |root: &Path| {
        file(root).write_all_at(b"C", 0).unwrap();
        settle(&root.join("file"));
    };
    check(content, &["size 7 content"]);
    let zeros_behind = |root: &Path| {
        file(root).set_len(8).unwrap();
        settle(&root.join("file"));
    };
    check(zeros_behind, &["size 8 content"]);
    check(
        |root| fs::remove_file(root.join("file")).unwrap(),
        &["/file: only theirs"],
    );
    check(
        |root| symlink("tab\tand \u{e9}", root.join("link")).unwrap(),
        &["/link: only ours"],
    );
}

#[test]
fn further_name_of_a_file_is_no_file_of_its_own() {
    let folder = tree();
    hard_link(folder.path().join("file"), folder.path().join("again")).unwrap();
    fs::copy(folder.path().join("file"), folder.path().join("copy")).unwrap();
    let text = Listing::of(folder.path()).text().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [_, again, copy, file] = lines.as_slice() else {
        panic!("{text}")
    };
    assert!(file.ends_with("\tis /again"), "{file}");
    assert!(again.contains("content") && copy.contains("content"));
}

#[test]
fn hole_and_written_zeros_are_the_same_and_holes_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let (hole, zeros) = (folder.path().join("hole"), folder.path().join("zeros"));
    let sparse = File::create(&hole).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all_at(b"piece", 300_001).unwrap();
    fs::write(&zeros, fs::read(&hole).unwrap()).unwrap();
    let digest = |path: &Path| content::digest(path, 1 << 20).unwrap();
    assert_eq!(digest(&hole), digest(&zeros));
    sparse.write_all_at(b"x", 0).unwrap();
    assert_ne!(digest(&hole), digest(&zeros));
    // 8 TiB would not be read in the life of a test.
    sparse.set_len(8 << 40).unwrap();
    content::digest(&hole, 8 << 40).unwrap();
    for wrong in [(1 << 20) - 1, (1 << 20) + 1] {
        assert!(content::digest(&zeros, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn names_are_sorted_escaped_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b", "a\tb", "a", "left"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::create_dir(folder.path().join("a/left")).unwrap();
    let fifo = folder.path().join("a/pipe");
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
    let listing = Listing {
        left_out: vec!["left".into()],
        ..Listing::of(folder.path())
    };
    let text = listing.text().unwrap();
    let names: Vec<&str> = by_path(&text).into_keys().collect();
    assert_eq!(names, ["/", "/a", "/a/left", "/a/pipe", "/a\\tb", "/b"]);
    let order: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(order, names);
}

#[test]
fn mount_point_and_missing_root_are_named() {
    let names = fs::read_dir("/").unwrap();
    let others = names.map(|entry| PathBuf::from(entry.unwrap().file_name()));
    // Every machine has something on /proc, whatever else it has.
    let proc_only = Listing {
        left_out: others.filter(|name| name != Path::new("proc")).collect(),
        ..Listing::of("/")
    };
    for (listing, expect) in [
        (proc_only, "/proc is a mount point"),
        (Listing::of("/no/such/root"), "/no/such/root"),
    ] {
        let error = format!("{:#}", listing.text().unwrap_err());
        assert!(error.contains(expect), "{error}");
    }
}
