//! Whether what was synced is there after a crash: blocks with numbers, written in no order to a file or a disk until the writer dies, and
//! looked at afterwards from elsewhere. Main functions: [`write()`] and [`verify`]; the program `storage-suite` has both.
//!
//! After every few blocks the file is synced, and only then is the number of the last one written to a file of progress, which
//! has to outlive the crash by other means. So of the blocks that are found, each has to be as old as its last sync at least, and whole.

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Bytes of a block, which the kernels and the monitor hand on as a whole.
const BLOCK: usize = 4096;
/// Blocks of the file: 8 MiB.
const BLOCKS: u64 = 2048;
/// Blocks from one sync to the next.
const BATCH: u64 = 8;

/// Writes batches, `most` at most, and says after each in `progress` how far it is.
pub fn write(target: &Path, progress: &Path, most: u64) -> Result<()> {
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        options
            .open(path)
            .with_context(|| format!("open {}", path.display()))
    };
    let (target, progress) = (open(target)?, open(progress)?);
    for batch in 0..most {
        let last = (batch + 1) * BATCH;
        for number in last - BATCH + 1..=last {
            let place = place_of(number);
            target
                .write_all_at(&block(number, place), place * BLOCK as u64)
                .context("write a block")?;
        }
        target.sync_data().context("sync")?;
        let said = progress.write_all_at(&last.to_le_bytes(), 0);
        said.context("write the progress")?;
    }
    Ok(())
}

/// The number of the last block that is known to have been synced; 0 before the first.
pub fn progress(path: &Path) -> Result<u64> {
    let mut bytes = [0; 8];
    match File::open(path).and_then(|file| file.read_exact_at(&mut bytes, 0)) {
        Ok(()) => Ok(u64::from_le_bytes(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Ok(0)
        }
        Err(error) => Err(error).context("read the progress"),
    }
}

/// Looks at what is left. Says how many blocks were synced.
pub fn verify(target: &Path, synced: u64) -> Result<u64> {
    let mut oldest = vec![0; usize::try_from(BLOCKS)?];
    for number in 1..=synced {
        if let Some(last) = oldest.get_mut(usize::try_from(place_of(number))?) {
            *last = number;
        }
    }
    let under_way: Vec<u64> = (synced + 1..=synced + BATCH).collect();
    let file = File::open(target).with_context(|| format!("open {}", target.display()))?;
    for (place, oldest) in (0..).zip(oldest) {
        let found = read(&file, place)?;
        let Some(number) = number_of(&found, place) else {
            // The crash was in the middle of this very block.
            let torn = under_way.iter().any(|number| place_of(*number) == place);
            ensure!(
                torn,
                "block {place} is of no one write; it should be of {oldest}"
            );
            continue;
        };
        ensure!(
            number >= oldest,
            "block {place} is of write {number}, but {oldest} was synced"
        );
        let written = number <= oldest || under_way.contains(&number);
        ensure!(
            written,
            "block {place} is of write {number}, which comes after {synced}"
        );
    }
    Ok(synced)
}

/// What the block holds; zeros where the file has ended.
fn read(file: &File, place: u64) -> Result<Vec<u8>> {
    let mut found = vec![0; BLOCK];
    let mut length = 0;
    while let Some(rest) = found.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, place * BLOCK as u64 + length as u64) {
            Ok(0) => break,
            Ok(now) => length += now,
            Err(error) => return Err(error).with_context(|| format!("read block {place}")),
        }
    }
    Ok(found)
}

/// Of which write the block is: 0 if of none yet, nothing if of no single one.
fn number_of(found: &[u8], place: u64) -> Option<u64> {
    if found.iter().all(|byte| *byte == 0) {
        return Some(0);
    }
    let number = u64::from_le_bytes(*found.first_chunk()?);
    (place_of(number) == place && found == block(number, place)).then_some(number)
}

/// Where a block goes: anywhere.
fn place_of(number: u64) -> u64 {
    scramble(number) % BLOCKS
}

/// What is in it: its number, and bytes that no other block has.
fn block(number: u64, place: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    let mut state = number ^ place.rotate_left(32);
    while bytes.len() < BLOCK {
        state = scramble(state);
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// A number that looks like no other (the finalizer of splitmix64).
pub(crate) fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
