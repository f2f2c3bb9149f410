//! A volume's folder without its file system: the order of parts, and the swap as a watcher sees it.

use std::os::unix::fs::{PermissionsExt, symlink};

use agent::agent::{VolumeEntry, volume_entry::Kind};
use rustix::fs::inotify;

use super::*;

fn entry(path: &str, kind: Kind, text: &str) -> VolumeEntry {
    let about = fs::metadata("/proc/self").unwrap();
    let mut entry = VolumeEntry {
        path: path.to_owned(),
        kind: kind.into(),
        mode: 0o750,
        uid: std::os::unix::fs::MetadataExt::uid(&about),
        gid: std::os::unix::fs::MetadataExt::gid(&about),
        ..VolumeEntry::default()
    };
    match kind {
        Kind::LINK => text.clone_into(&mut entry.target),
        _ => entry.content = text.into(),
    }
    entry
}

fn config_map(version: &str, files: &[(&str, &str)]) -> Vec<VolumeEntry> {
    let mut all = vec![
        entry("", Kind::FOLDER, ""),
        entry(version, Kind::FOLDER, ""),
    ];
    for (name, text) in files {
        all.push(entry(&format!("{version}/{name}"), Kind::FILE, text));
        all.push(entry(name, Kind::LINK, &format!("..data/{name}")));
    }
    all.push(entry("..data", Kind::LINK, version));
    all
}

/// A volume whose folder is there, as if something had been mounted on it.
fn volume() -> (tempfile::TempDir, Volumes, VolumeId) {
    let state = tempfile::tempdir().unwrap();
    let volumes = Volumes::below(state.path(), None);
    let id = VolumeId::parse("v").unwrap();
    fs::create_dir_all(volumes.folder(&id)).unwrap();
    (state, volumes, id)
}

fn part(number: u32, last: bool, entries: Vec<VolumeEntry>) -> Part {
    let entries = tree::parse(entries).unwrap();
    Part {
        number,
        last,
        size_bytes: 1,
        entries,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn parts_come_in_order_and_the_first_begins_anew() {
    let (_state, volumes, id) = volume();
    let file = |name: &str| vec![entry(name, Kind::FILE, name)];
    volumes.take_part(&id, &part(0, false, file("a"))).unwrap();
    let early = volumes
        .take_part(&id, &part(2, true, file("c")))
        .unwrap_err();
    assert_eq!(early.kind, FaultKind::FailedPrecondition);
    // What was unfinished has been forgotten with that.
    assert!(volumes.take_part(&id, &part(1, true, file("b"))).is_err());
    assert!(volumes.content(&id).is_err());
    volumes.take_part(&id, &part(0, false, file("d"))).unwrap();
    volumes.take_part(&id, &part(1, true, file("e"))).unwrap();
    assert_eq!(names(&volumes.content(&id).unwrap()), ["d", "e"]);
    // It has no ..data, so it stays.
    volumes.take_part(&id, &part(0, true, file("f"))).unwrap();
    assert_eq!(names(&volumes.content(&id).unwrap()), ["d", "e"]);
    assert_eq!(names(&volumes.folder(&id)), ["content"]);
}

#[test]
fn watcher_sees_data_moved_over_and_nothing_of_the_old_tree_is_left() {
    let (_state, volumes, id) = volume();
    let first = config_map("..1", &[("a", "one"), ("old", "x")]);
    volumes.take_part(&id, &part(0, true, first)).unwrap();
    let content = volumes.content(&id).unwrap();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, &content, inotify::WatchFlags::MOVED_TO).unwrap();
    let second = config_map("..2", &[("a", "two"), ("new", "y")]);
    volumes
        .take_part(&id, &part(0, true, second.clone()))
        .unwrap();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let mut seen = Vec::new();
    while let Ok(event) = events.next() {
        seen.extend(
            event
                .file_name()
                .map(|name| name.to_str().unwrap().to_owned()),
        );
    }
    assert_eq!(seen, ["..2", "..data", "new"]);
    assert_eq!(names(&content), ["..2", "..data", "a", "new"]);
    assert_eq!(fs::read_to_string(content.join("a")).unwrap(), "two");
    let mode = fs::metadata(&content).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o750);
    volumes.take_part(&id, &part(0, true, second)).unwrap();
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    assert!(events.next().is_err(), "the same tree moves nothing");
}

#[test]
fn swap_does_not_follow_what_a_container_has_put_there() {
    let (state, volumes, id) = volume();
    let outside = state.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "").unwrap();
    let first = config_map("..1", &[("a", "one")]);
    volumes.take_part(&id, &part(0, true, first)).unwrap();
    let content = volumes.content(&id).unwrap();
    for name in ["..2", "..data_tmp", "b"] {
        symlink(&outside, content.join(name)).unwrap();
    }
    let second = config_map("..2", &[("b", "two")]);
    // A link in the place of the new folder is no folder to remove: said, and nothing outside has changed.
    drop(volumes.take_part(&id, &part(0, true, second)));
    assert_eq!(names(&outside), ["kept"]);
    // A ..data that leads elsewhere stops it.
    fs::remove_file(content.join("..data")).unwrap();
    symlink("../outside", content.join("..data")).unwrap();
    let third = config_map("..3", &[("b", "three")]);
    assert!(volumes.take_part(&id, &part(0, true, third)).is_err());
    assert_eq!(names(&outside), ["kept"]);
}

#[test]
fn only_regular_files_are_read_back() {
    let (_state, volumes, id) = volume();
    let tree = vec![
        entry("log", Kind::FILE, "the end"),
        entry("link", Kind::LINK, "log"),
    ];
    volumes.take_part(&id, &part(0, true, tree)).unwrap();
    let content = volumes.content(&id).unwrap();
    let fifo = content.join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for name in ["link", "fifo", "missing"] {
        assert!(
            tree::open_file(&content, Path::new(name)).is_err(),
            "{name}"
        );
    }
    let mut text = String::new();
    let mut file = tree::open_file(&content, Path::new("log")).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "the end");
}

#[test]
fn mount_of_the_host_that_can_not_be_is_refused() {
    let check = |change: fn(&mut agent::agent::VolumeMount), words: &str| {
        let mut mount = agent::agent::VolumeMount {
            host_path: "/h".to_owned(),
            destination: "/v".to_owned(),
            ..Default::default()
        };
        VolumeMount::parse_all(&[mount.clone()]).unwrap();
        change(&mut mount);
        let fault = VolumeMount::parse_all(&[mount]).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidArgument);
        assert!(fault.message.contains(words), "{}", fault.message);
    };
    check(|mount| mount.map_owners = true, "owners are not mapped");
    check(|mount| mount.host_path = "h".to_owned(), "not absolute");
    check(|mount| mount.volume_id = "v".to_owned(), "of a volume and");
}
