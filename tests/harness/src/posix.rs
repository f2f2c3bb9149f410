//! What Linux does with files, asked of one folder: the same calls in a folder of the host, in a share of it, and on a disk of the
//! guest's have to say the same. The program `storage-suite posix FOLDER` prints a line for each case; a test compares the lines.
//!
//! Main function: [`run`]. A case is a function that gets an empty `Place` and says on its `Line` what came out, in words that are
//! the same wherever the behaviour is: no inode numbers, no times. What another user or another process sees, a child of this program
//! says (`deeds`), so [`run`] can't be called by any program but ours.

mod attributes;
mod contents;
mod deeds;
mod extended;
mod folders;
mod line;
mod locks;
mod names;
mod owners;
mod place;
mod times;

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

pub use deeds::run_as;
use line::Line;
use place::Place;

/// What a case said of itself that could not be carried out to its end. No file system of Linux may cause it.
pub const UNFINISHED: &str = "UNFINISHED";

/// A case's name, and what it does.
type Case = (
    &'static str,
    fn(&Place, &mut Line) -> rustix::io::Result<()>,
);

const TOPICS: &[&[Case]] = &[
    names::CASES,
    folders::CASES,
    contents::CASES,
    attributes::CASES,
    owners::CASES,
    times::CASES,
    extended::CASES,
    locks::CASES,
];

/// Runs every case in a folder of its own below `folder`, and writes a line for each. Modes are made without the umask of the caller.
pub fn run(folder: &Path, mut output: impl Write) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::empty());
    for (name, case) in TOPICS.iter().copied().flatten() {
        let own = folder.join(name);
        fs::create_dir(&own).with_context(|| format!("make {}", own.display()))?;
        let mut line = Line::new(name);
        let ended = Place::at(&own).and_then(|place| case(&place, &mut line));
        if let Err(errno) = ended {
            line.say(UNFINISHED, line::named(errno));
        }
        writeln!(output, "{line}").context("write a line")?;
        fs::remove_dir_all(&own).with_context(|| format!("remove {}", own.display()))?;
    }
    Ok(())
}
