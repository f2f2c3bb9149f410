//! What a run may leave behind on a host: processes of ours, mounts, loop devices, cgroups, network namespaces, files. A test takes a
//! [`Snapshot`] before and one after; [`Snapshot::new_since`] names what is new.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Processes whose name begins so are ours.
const OUR_PROCESSES: &str = "cofferdam";
/// Each block device has a folder here; a loop device in use says in it of which file.
const BLOCK_DEVICES: &str = "/sys/block";
const CGROUPS: &str = "/sys/fs/cgroup";
/// Names of network namespaces (ip-netns(8)).
const NETWORK_NAMESPACES: &str = "/run/netns";
/// Deeper than any cgroup or state folder; a loop of mounts would not end.
const DEEPEST: usize = 32;

/// What was there at one moment, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// What is on this host now, and in `folder`.
    pub fn take(folder: &Path) -> Snapshot {
        let mut lines = BTreeSet::new();
        lines.extend(processes());
        lines.extend(mounts());
        lines.extend(loop_devices());
        folders(Path::new(CGROUPS), DEEPEST, &mut |path| {
            lines.insert(format!("cgroup {path}"));
        });
        for name in names(Path::new(NETWORK_NAMESPACES)) {
            lines.insert(format!("network namespace {name}"));
        }
        files(folder, DEEPEST, &mut |path| {
            lines.insert(format!("file {path}"));
        });
        Snapshot(lines)
    }

    /// What is here and was not there before.
    pub fn new_since<'a>(&'a self, before: &'a Snapshot) -> Vec<&'a str> {
        self.0.difference(&before.0).map(String::as_str).collect()
    }
}

fn processes() -> impl Iterator<Item = String> {
    let numbers = names(Path::new("/proc"))
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok());
    numbers.filter_map(|pid| {
        // One that ended meanwhile has no name any more.
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let name = name.trim();
        name.starts_with(OUR_PROCESSES)
            .then(|| format!("process {pid} {name}"))
    })
}

/// Source and target of each mount (proc_pid_mountinfo(5), fields 4, 5 and those after the dash).
fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let describe = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let target = place.split(' ').nth(4)?;
        Some(format!("mount {target} {kind}"))
    };
    text.lines().filter_map(describe).collect()
}

fn loop_devices() -> impl Iterator<Item = String> {
    names(Path::new(BLOCK_DEVICES))
        .into_iter()
        .filter_map(|name| {
            let file = format!("{BLOCK_DEVICES}/{name}/loop/backing_file");
            let file = fs::read_to_string(file).ok()?;
            Some(format!("loop device {name} of {}", file.trim()))
        })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn folders(folder: &Path, depth: usize, found: &mut dyn FnMut(&str)) {
    walk(folder, depth, &mut |path, is_folder| {
        if is_folder {
            found(path);
        }
    });
}

fn files(folder: &Path, depth: usize, found: &mut dyn FnMut(&str)) {
    walk(folder, depth, &mut |path, _| found(path));
}

fn walk(folder: &Path, depth: usize, found: &mut dyn FnMut(&str, bool)) {
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        found(&entry.path().to_string_lossy(), is_folder);
        if is_folder {
            walk(&entry.path(), depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_file_and_folder_are_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old"), "").unwrap();
        let before = Snapshot::take(folder.path());
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), "").unwrap();
        let after = Snapshot::take(folder.path());
        let new = after.new_since(&before);
        let root = folder.path().display();
        for line in [format!("file {root}/a"), format!("file {root}/a/b")] {
            assert!(new.contains(&line.as_str()), "{line} in {new:?}");
        }
        assert!(!new.contains(&format!("file {root}/old").as_str()));
    }

    #[test]
    fn mounts_name_proc() {
        // Not the root: in a chroot it is no mount.
        assert!(
            mounts()
                .iter()
                .any(|mount| mount.starts_with("mount /proc "))
        );
    }
}
