//! Paths that can't be a log, and that nothing is left behind.

use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;

/// Both ways in fail with the same words, and leave the folders as they were.
fn check(kubelet: &Kubelet, log: &Path, position: &Path, expect: &str) {
    let folder = kubelet.logs();
    let before = (names(&folder), names(folder.parent().unwrap()));
    let error = LogFile::create(log, position).unwrap_err();
    let told = chain(&error).replace(folder.parent().unwrap().to_str().unwrap(), "");
    assert_eq!(told, expect);
    assert_eq!((names(&folder), names(folder.parent().unwrap())), before);
    let error = LogFile::resume(log, position).unwrap_err();
    let told = chain(&error).replace(folder.parent().unwrap().to_str().unwrap(), "");
    assert_eq!(told, expect);
    assert_eq!(names(&folder), before.0);
}

#[test]
fn missing_folder_is_named() {
    let kubelet = Kubelet::new();
    let nowhere = kubelet.logs().join("nowhere/0.log");
    let expect = "create /logs/nowhere/0.log: No such file or directory (os error 2)";
    check(&kubelet, &nowhere, &kubelet.position(), expect);

    let kubelet = Kubelet::new();
    let nowhere = kubelet.logs().join("nowhere/position");
    let expect = "create /logs/nowhere/position: No such file or directory (os error 2)";
    check(&kubelet, &kubelet.log(), &nowhere, expect);
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let places: [fn(&Path); 3] = [
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("elsewhere", path).unwrap(),
        |path| {
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        },
    ];
    for place in places {
        let kubelet = Kubelet::new();
        place(&kubelet.log());
        let expect = "use /logs/0.log as a log: it is no regular file, remove it";
        check(&kubelet, &kubelet.log(), &kubelet.position(), expect);

        let kubelet = Kubelet::new();
        place(&kubelet.position());
        let expect = "use /position as a log: it is no regular file, remove it";
        check(&kubelet, &kubelet.log(), &kubelet.position(), expect);
    }
}

#[test]
fn symlink_to_a_file_is_not_followed() {
    let kubelet = Kubelet::new();
    let secret = kubelet.logs().join("secret");
    fs::write(&secret, "as it was").unwrap();
    symlink(&secret, kubelet.log()).unwrap();
    let expect = "use /logs/0.log as a log: it is no regular file, remove it";
    check(&kubelet, &kubelet.log(), &kubelet.position(), expect);
    assert_eq!(fs::read(&secret).unwrap(), b"as it was");
}

#[test]
fn folder_without_permission_is_named() {
    let kubelet = Kubelet::new();
    fs::set_permissions(kubelet.logs(), fs::Permissions::from_mode(0o500)).unwrap();
    // Root is refused nothing, unless it gives that up: a thread has capabilities of its own.
    let check_refused = || {
        let mut own = capabilities(None).unwrap();
        own.effective.remove(CapabilitySet::DAC_OVERRIDE);
        set_capabilities(None, own).unwrap();
        let expect = "create /logs/0.log: Permission denied (os error 13)";
        check(&kubelet, &kubelet.log(), &kubelet.position(), expect);
    };
    std::thread::scope(|scope| scope.spawn(check_refused).join().unwrap());
}

#[test]
fn full_disk_at_the_start_leaves_no_file() {
    // create: two opens of the log, two of the position, its truncation, its write.
    for calls in 0..6 {
        let kubelet = Kubelet::new();
        let before = names(kubelet.logs().parent().unwrap());
        script::set(calls, usize::MAX, Then::Refused { calls: 1 });
        LogFile::create(&kubelet.log(), &kubelet.position()).unwrap_err();
        script::clear();
        assert_eq!(names(&kubelet.logs()), Vec::<String>::new(), "{calls}");
        assert_eq!(names(kubelet.logs().parent().unwrap()), before, "{calls}");
    }
}
