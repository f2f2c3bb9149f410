//! The program `storage-suite`, on this machine's own file system: what it says is the same each time, and is what it should be.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::posix::UNFINISHED;
use harness::probe::{self, Need};

fn posix(folder: &Path) -> String {
    let mut suite = Command::new(env!("CARGO_BIN_EXE_storage-suite"));
    let done = suite
        .arg("posix")
        .arg(folder)
        .output()
        .expect("start storage-suite");
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).expect("it says text")
}

#[test]
fn posix_says_the_same_twice_and_leaves_nothing() {
    let test = "posix_says_the_same_twice_and_leaves_nothing";
    if probe::skip(test, &[Need::Root]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let said = posix(folder.path());
    assert!(!said.contains(UNFINISHED), "{said}");
    assert_eq!(said, posix(folder.path()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    for words in [
        "link_counts: three=100644,0:0,3 one_inode=true ",
        "unlink_while_open: about=100644,0:0,0 read=content ",
        " keep=EEXIST ",
        "append: pwrite=1 read=abcd ",
        " write_by_user=ok,777 write_by_root=ok,6777 ",
        "sticky_folder: make=100666,1000:1000,1 unlink=EPERM ",
        "umask: 22=644,755 27=640,750 77=600,700 0=666,777",
        "locks_of_processes: held=EAGAIN ",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for words in [
        &["posix"][..],
        &["posix", "/does/not/exist"],
        &["as", "0"],
        &["x"],
    ] {
        let mut suite = Command::new(env!("CARGO_BIN_EXE_storage-suite"));
        let done = suite.args(words).output().unwrap();
        assert!(!done.status.success(), "{words:?}");
    }
}
