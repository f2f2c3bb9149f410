//! Races: names that mean something else from one instant to the next.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{CANARY, Escape, FILE_SWAPPED_BY_NODE, OUTSIDE, SWAPPED_BY_NODE, Tried};

const ROUNDS: usize = 40;

/// Swaps two names until told to end; how often.
fn swap(one: &Path, other: &Path, end: &AtomicBool) -> usize {
    let mut times = 0;
    while !end.load(Ordering::Relaxed) {
        let swapped = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
        times += usize::from(swapped.is_ok());
    }
    times
}

/// A folder and a link to the one outside, swapped by one thread while another goes through the name.
pub(super) fn own(escape: &Escape) -> Result<Tried> {
    let mut tried = Tried::default();
    let (name, spare) = (escape.share.join("name"), escape.share.join("spare"));
    fs::create_dir(&name)?;
    symlink(Path::new("..").join(OUTSIDE), &spare)?;
    let end = AtomicBool::new(false);
    let swapped = thread::scope(|scope| {
        let swapper = scope.spawn(|| swap(&name, &spare, &end));
        for _ in 0..ROUNDS {
            tried.folder(&name);
            drop(fs::create_dir_all(name.join("deep/deeper")));
            tried.path(&name.join("deep/../..").join(OUTSIDE).join(CANARY));
            drop(fs::remove_dir_all(name.join("deep")));
        }
        end.store(true, Ordering::Relaxed);
        swapper.join().unwrap_or_default()
    });
    anyhow::ensure!(swapped > 0, "nothing was swapped");
    Ok(tried)
}

/// What the node swaps meanwhile.
pub(super) fn with_node(escape: &Escape) -> Result<Tried> {
    let mut tried = Tried::default();
    let (folder, file) = (
        escape.share.join(SWAPPED_BY_NODE),
        escape.share.join(FILE_SWAPPED_BY_NODE),
    );
    let mut kinds = [0, 0];
    for _ in 0..ROUNDS {
        tried.folder(&folder);
        tried.path(&file);
        drop(fs::write(&file, "written from inside"));
        let link = fs::symlink_metadata(&folder).is_ok_and(|about| about.is_symlink());
        if let Some(count) = kinds.get_mut(usize::from(link)) {
            *count += 1;
        }
    }
    anyhow::ensure!(
        kinds.iter().all(|count| *count > 0),
        "the node did not swap: {kinds:?}"
    );
    Ok(tried)
}

/// A folder is renamed to and fro between places while somebody is deep in it and climbs up. From one share to another nothing is renamed.
pub(super) fn renames(escape: &Escape) -> Result<Tried> {
    let mut tried = Tried::default();
    let deep = |top: &str| -> PathBuf { escape.share.join(top).join("a/b/c") };
    fs::create_dir_all(deep("low"))?;
    let (low, high) = (escape.share.join("low/a"), escape.share.join("high"));
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let mover = scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                drop(fs::rename(&low, &high));
                drop(fs::rename(&high, &low));
            }
        });
        for _ in 0..ROUNDS {
            for up in [2, 3, 5] {
                let climb = deep("low").join("../".repeat(up));
                tried.path(&climb.join(OUTSIDE).join(CANARY));
                tried.path(
                    &high
                        .join("b/c")
                        .join("../".repeat(up))
                        .join(OUTSIDE)
                        .join(CANARY),
                );
            }
        }
        end.store(true, Ordering::Relaxed);
        mover.join()
    })
    .map_err(|_panic| anyhow::anyhow!("the mover panicked"))?;
    tried.times += 1;
    let away = escape.other.join("away");
    if fs::rename(escape.share.join("low"), &away).is_ok() {
        tried.out.push(format!("rename to {}", away.display()));
    }
    fs::remove_dir_all(escape.share.join("low")).context("remove what was renamed")?;
    Ok(tried)
}
