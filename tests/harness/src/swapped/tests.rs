//! What is torn, or never comes, is said.

use std::os::unix::fs::symlink;

use super::*;

fn write(folder: &Path, version: &str, texts: [&str; 2]) {
    let new = folder.join(format!("..{version}"));
    fs::create_dir(&new).unwrap();
    for (name, text) in ["a", "b"].iter().zip(texts) {
        fs::write(new.join(name), text).unwrap();
    }
    symlink(format!("..{version}"), folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join(DATA)).unwrap();
}

#[test]
fn last_version_is_seen_by_its_event() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "1", ["one.one.", "one."]);
    let path = folder.path().to_owned();
    let (said, saw) = std::sync::mpsc::channel();
    let follower = std::thread::spawn(move || {
        let mut output = Vec::new();
        said.send(()).unwrap();
        follow(&path, "last", &mut output).map(|()| output)
    });
    saw.recv().unwrap();
    // It may have missed all but one of them.
    for number in 2..20 {
        write(folder.path(), &number.to_string(), ["two.", "two."]);
        std::thread::yield_now();
    }
    write(folder.path(), "last", ["last", "lastlast"]);
    let output = follower.join().unwrap();
    // Only if it looked first after the last: then it says so.
    match output {
        Ok(output) => assert_eq!(output, b"2 files, 12 bytes\n"),
        Err(error) => assert!(error.to_string().contains("from the begin"), "{error}"),
    }
}

#[test]
fn torn_files_are_named() {
    for texts in [
        ["one.one.", "two."],
        ["one.two.", "one."],
        ["one.o", "one."],
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "1", texts);
        let error = follow(folder.path(), "last", &mut Vec::new()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("is torn"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let error = follow(folder.path(), "last", &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("..data"), "{error}");
}
