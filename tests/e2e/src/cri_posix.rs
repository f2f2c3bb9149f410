//! Files behave in a container as on the node: the harness's `storage-suite posix` says the same in a folder of the node, in a shared
//! one, and in the container's writable layer. What differs is listed here, with the reason.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cri::v1::Mount;
use harness::posix::UNFINISHED;

use crate::Test;
use crate::case::Case;
use crate::daemon::Daemon;
use crate::mounting::{finish, mount, with};

pub(crate) const TESTS: &[Test] = &[("files_behave_as_on_the_node", behave)];

/// The harness's program, and the container's path of it.
const SUITE: &str = "storage-suite";
const IN_CONTAINER: &str = "/suite";

/// Smallest that mkfs.xfs makes.
const DISK_BYTES: u64 = 320 << 20;

/// Where the container works, and what may differ from the node there.
const PLACES: &[(&str, &[Difference])] = &[("/share", OF_SHARES), ("/layer", OF_LAYERS)];

/// A case, the word of it that differs, and why it does.
struct Difference(&'static str, &'static str, &'static str);

const NO_DOTS: &str =
    "a folder need not list itself and its parent (POSIX), and fuse-backend-rs leaves them out";
const NO_DEVICES: &str =
    "a device node on the node is of no use to a guest; share servers can't make any";
const NO_MOVES: &str = "Linux' FUSE has neither of the two modes of fallocate(2)";
const NO_UNNAMED: &str =
    "fuse-backend-rs has no FUSE_TMPFILE; programs make a file with a name then";
const NOT_ASKED: &str = "Linux' FUSE does not tell of a change of owner that changes none";
const ANYBODY: &str = "FUSE does not say who allocates, so set-ID bits go whoever it is";

const OF_SHARES: &[Difference] = &[
    Difference("dots", "names", NO_DOTS),
    Difference("devices", "null", NO_DEVICES),
    Difference("devices", "about", NO_DEVICES),
    Difference("fallocate_moves", "collapse", NO_MOVES),
    Difference("fallocate_moves", "less", NO_MOVES),
    Difference("fallocate_moves", "insert", NO_MOVES),
    Difference("unnamed_file", "made", NO_UNNAMED),
    Difference("unnamed_file", "link", NO_UNNAMED),
    Difference("unnamed_file", "about", NO_UNNAMED),
    Difference("unnamed_file", "read", NO_UNNAMED),
    Difference("unnamed_file", "never", NO_UNNAMED),
    Difference("chown", "nobody", NOT_ASKED),
    Difference("writes_take_set_id_bits_away", "fallocate_by_root", ANYBODY),
];

const NO_MKNOD: &str = "a container makes device nodes with CAP_MKNOD, which this one has not";

const OF_LAYERS: &[Difference] = &[
    Difference("devices", "null", NO_MKNOD),
    Difference("devices", "about", NO_MKNOD),
    Difference(
        "rename_whiteout",
        "whiteout",
        "overlayfs keeps whiteouts for itself",
    ),
    Difference(
        "kinds_in_folder",
        "kinds",
        "overlayfs lists folders by other inode numbers than it says elsewhere",
    ),
];

/// An XFS of the node's, as scratch disks are: what one kind of file system does and another does not is no difference then.
struct Disk(PathBuf);

impl Disk {
    fn mount(case: &Case) -> Result<Disk> {
        let (file, at) = (case.folder().join("xfs"), case.folder().join("node"));
        File::create(&file)?.set_len(DISK_BYTES)?;
        fs::create_dir(&at)?;
        command("mkfs.xfs", &["-q".as_ref(), &file])?;
        command("mount", &["-o".as_ref(), "loop".as_ref(), &file, &at])?;
        Ok(Disk(at))
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What stays is found by the look at what the test left.
        command("umount", &[&self.0]).ok();
    }
}

fn command(program: &str, words: &[&Path]) -> Result<String> {
    let done = Command::new(program).args(words).output();
    let done = done.with_context(|| format!("start {program}"))?;
    ensure!(done.status.success(), "{program} {words:?}: {done:?}");
    Ok(String::from_utf8(done.stdout)?)
}

fn behave(case: &Case) -> Result<()> {
    let disk = Disk::mount(case)?;
    let suite = case.dist().join(SUITE);
    let node = disk.folder("here")?;
    let expected = command(&suite.to_string_lossy(), &["posix".as_ref(), &node])?;
    ensure!(!expected.contains(UNFINISHED), "on the node:\n{expected}");
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let program = Mount {
        readonly: true,
        ..mount(IN_CONTAINER, &suite)
    };
    // An emptyDir on disk is a shared folder as any other.
    let mounts = vec![program, mount("/share", &disk.folder("share")?)];
    for (name, allowed) in PLACES {
        let script = format!("mkdir -p {name}; {IN_CONTAINER} posix {name} 2>&1");
        let own = name.trim_start_matches('/');
        let config = with(&daemon, own, &script, mounts.clone());
        let (code, said) = finish(&daemon, &sandbox, config)?;
        ensure!(code == 0, "in {name}: {code}: {said}\n{}", daemon.log());
        let wrong = compare(&expected, &said, allowed);
        ensure!(wrong.is_empty(), "in {name}:\n{}", wrong.join("\n"));
    }
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// Every word of every case.
fn words(said: &str) -> BTreeMap<(&str, &str), &str> {
    let lines = said.lines().filter_map(|line| line.split_once(": "));
    let words = lines.flat_map(|(case, words)| {
        let words = words.split(' ').filter_map(|word| word.split_once('='));
        words.map(move |(what, result)| ((case, what), result))
    });
    words.collect()
}

/// What differs and may not, and what may and does not.
fn compare(expected: &str, said: &str, allowed: &[Difference]) -> Vec<String> {
    let (expected, said) = (words(expected), words(said));
    let mut wrong = Vec::new();
    let keys = expected
        .keys()
        .chain(said.keys().filter(|key| !expected.contains_key(*key)));
    for key in keys {
        let (here, there) = (expected.get(key), said.get(key));
        let (case, what) = key;
        let may = allowed
            .iter()
            .find(|Difference(of, word, _)| of == case && word == what);
        let word = |found: Option<&&str>| found.map_or("nothing".to_owned(), ToString::to_string);
        match (here == there, may) {
            (false, None) => wrong.push(format!(
                "{case} {what}: {}, on the node {}",
                word(there),
                word(here)
            )),
            (true, Some(Difference(_, _, reason))) => {
                wrong.push(format!("{case} {what}: no longer different: {reason}"));
            }
            _ => {}
        }
    }
    wrong
}
