//! What a hostile container would try, to get from a folder that it shares with its node to what lies beside. The program
//! `storage-suite escape` prints a line for each way that leads out, and how often it tried; the test looks on the node for what was written.
//!
//! Main type: [`Escape`]. Beside the shared folder the node has a folder `outside` with a file `canary`. Where the node has it is told, for
//! a name that the server would follow is one of the node's.

mod handles;
mod links;
mod races;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

/// The folder beside the shared one.
pub const OUTSIDE: &str = "outside";
/// The file in it, and how what it says begins.
pub const CANARY: &str = "canary";
pub const SECRET: &str = "secret of the node";
/// What somebody who got out leaves there.
pub const PLANTED: &str = "planted";
/// What the node swaps all the time: a folder and a symbolic link to the one outside.
pub const SWAPPED_BY_NODE: &str = "swapped-by-node";
/// The same with a file and a link to the canary.
pub const FILE_SWAPPED_BY_NODE: &str = "file-swapped-by-node";

/// Which folders there are.
#[derive(Debug)]
pub struct Escape {
    /// The shared folder, as the container has it.
    pub share: PathBuf,
    /// Another one, of the same server.
    pub other: PathBuf,
    /// The folder outside, as the node has it.
    pub outside: PathBuf,
}

/// What was tried, and what came of it.
#[derive(Debug, Default)]
struct Tried {
    times: usize,
    /// The ways that lead out.
    out: Vec<String>,
}

impl Tried {
    /// Tries to read the secret at a path, and to write beside it.
    fn path(&mut self, path: &Path) {
        self.times += 1;
        if holds_secret(path) {
            self.out.push(format!("read {}", path.display()));
        }
    }

    /// Tries everything in what may be the folder outside.
    fn folder(&mut self, folder: &Path) {
        self.path(&folder.join(CANARY));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o4755);
        // Whether it got out is seen on the node.
        drop(openat(CWD, folder.join(PLANTED), flags, mode));
        mkdirat(CWD, folder.join("planted-folder"), mode).ok();
        drop(fs::rename(folder.join(CANARY), folder.join("moved")));
        drop(fs::remove_file(folder.join(CANARY)));
        drop(fs::hard_link(folder.join(CANARY), folder.join("linked")));
    }

    fn say(self, way: &str, mut output: impl Write) -> Result<()> {
        let Tried { times, out } = self;
        let out = match out.first() {
            None => "stays inside".to_owned(),
            Some(first) => format!("GETS OUT {} times: {first}", out.len()),
        };
        writeln!(output, "{way}: tried {times}: {out}").context("write a line")
    }
}

fn holds_secret(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(CWD, path, flags, Mode::empty()) else {
        return false;
    };
    let mut bytes = [0; SECRET.len()];
    let read = rustix::io::read(&file, &mut bytes[..]);
    read.is_ok_and(|length| bytes.get(..length) == Some(SECRET.as_bytes()))
}

impl Escape {
    /// Tries all of it.
    pub fn run(&self, mut output: impl Write) -> Result<()> {
        self.parents().say("parents", &mut output)?;
        links::symbolic(self)?.say("symbolic links", &mut output)?;
        links::hard(self)?.say("hard links", &mut output)?;
        links::descriptors(self)?.say("descriptors", &mut output)?;
        links::devices(self)?.say("devices", &mut output)?;
        races::own(self)?.say("races of the container's own", &mut output)?;
        races::with_node(self)?.say("races with the node", &mut output)?;
        races::renames(self)?.say("renames between shares", &mut output)?;
        self.run_handles(output)
    }

    /// Tries what takes a privileged container, which may open every device of its guest anyway.
    pub fn run_handles(&self, output: impl Write) -> Result<()> {
        handles::forged(self)?.say("handles", output)
    }

    /// `..`, as often as it takes, and back down.
    fn parents(&self) -> Tried {
        let mut tried = Tried::default();
        for up in self.ways_up() {
            tried.folder(&self.share.join(&up));
            tried.folder(&self.other.join(&up));
        }
        tried
    }

    /// From the shared folder to the one outside, if the node were to look it up: the neighbour, and from the node's root.
    fn ways_up(&self) -> Vec<PathBuf> {
        let from_root = self.outside.strip_prefix("/").unwrap_or(&self.outside);
        let depths = 1..=from_root.components().count() + 3;
        let ups = depths.map(|depth| PathBuf::from("../".repeat(depth)));
        let ways = ups.flat_map(|up| [up.join(OUTSIDE), up.join(from_root)]);
        ways.chain([self.outside.clone()]).collect()
    }
}
