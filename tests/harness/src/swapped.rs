//! What a program sees of a folder that the kubelet replaces: all files of one version, whenever it looks, and the last version once inotify(7) has spoken for the
//! last time. Main function: [`follow`], which the program `storage-suite follow` is.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Where the present version is.
const DATA: &str = "..data";

/// For the next event, where virtualisation is emulated.
const PATIENCE: Timespec = Timespec {
    tv_sec: 300,
    tv_nsec: 0,
};

/// The words of which each file of a version consists have so many bytes.
pub const WORD: usize = 4;

/// Looks after each event, until all files say `last`; then says how many files and bytes there were.
pub fn follow(folder: &Path, last: &str, output: &mut impl Write) -> Result<()> {
    let watch = inotify::init(CreateFlags::CLOEXEC).context("make an inotify")?;
    inotify::add_watch(&watch, folder, WatchFlags::MOVED_TO).context("watch the folder")?;
    let mut looks = 0_u32;
    loop {
        let (version, files, bytes) = look(folder)?;
        looks += 1;
        if version == last {
            ensure!(looks > 1, "it was the last from the begin");
            return Ok(writeln!(output, "{files} files, {bytes} bytes")?);
        }
        let mut ready = [PollFd::new(&watch, PollFlags::IN)];
        let events = poll(&mut ready, Some(&PATIENCE)).context("wait for an event")?;
        ensure!(events > 0, "no event after version {version}");
        // All that have happened: one look is enough for them.
        let mut buffer = [0; 16 << 10];
        rustix::io::read(&watch, &mut buffer).context("read events")?;
    }
}

/// One version as a whole: its word, how many files it has, and of how many bytes.
fn look(folder: &Path) -> Result<(String, usize, usize)> {
    loop {
        let version = present(folder)?;
        match read(&folder.join(&version)) {
            // It went while it was read, which is told by another that has its place.
            Err(error) if is_gone(&error) && present(folder)? != version => {}
            read => return read.with_context(|| format!("in {}", version.display())),
        }
    }
}

fn present(folder: &Path) -> Result<PathBuf> {
    fs::read_link(folder.join(DATA)).context("read ..data")
}

fn is_gone(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == ErrorKind::NotFound)
}

fn read(version: &Path) -> Result<(String, usize, usize)> {
    let (mut word, mut files, mut bytes) = (None, 0, 0);
    for entry in fs::read_dir(version)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let first = text.get(..WORD).unwrap_or_default().to_owned();
        let whole = !first.is_empty() && text == first.repeat(text.len() / WORD);
        let word = word.get_or_insert_with(|| first.clone());
        if !whole || *word != first {
            bail!("{} is torn", path.display());
        }
        files += 1;
        bytes += text.len();
    }
    Ok((word.unwrap_or_default(), files, bytes))
}
