//! How long files take where this is asked: many small ones, and the bytes of a large one. The same on a node, in a container and in another
//! VM, to be compared. Main functions: [`folder`], [`tree`] and [`device`]; the program `storage-suite measure` prints what they say.
//!
//! Main type: [`Figure`]. Everything is done [`ROUNDS`] times, and the median is told.

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Advice, fadvise};
use serde::{Deserialize, Serialize};

use crate::durability::scramble;

/// How often each is done; an odd number.
pub const ROUNDS: u64 = 3;

/// Small files, and how large they are.
pub const FILES: u64 = 256;
pub const FILE_BYTES: usize = 512;
/// The large file, or as much of a device.
pub const LARGE_BYTES: u64 = 16 << 20;

/// How it is read and written from its beginning to its end.
const PIECE_BYTES: usize = 128 << 10;
/// How it is read and written in no order.
const BLOCK_BYTES: usize = 4096;
const RANDOM_READS: u64 = 512;
/// Each is synced by itself.
const RANDOM_WRITES: u64 = 32;

/// One thing that was done several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    /// How many of them one round did.
    pub operations: u64,
    /// For all of them.
    pub nanoseconds: u64,
}

/// What lies in the kernel's page cache when a large file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Nothing of it: a guest that reads for the first time.
    Cold,
    /// What was written or read before.
    Warm,
}

/// Small files and a large one in this folder, which is empty before and after.
pub fn folder(folder: &Path, cache: Cache) -> Result<Vec<Figure>> {
    let small = folder.join("small");
    let large = folder.join("large");
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut figures = small_files(&small)?;
        let file = open(&large, true)?;
        figures.extend(writes(&file)?);
        figures.extend(reads(&file, cache)?);
        fs::remove_file(&large).context("remove the large file")?;
        rounds.push(figures);
    }
    Ok(medians(&rounds))
}

/// What [`make_tree`] made, to be read only.
pub fn tree(folder: &Path, cache: Cache) -> Result<Vec<Figure>> {
    let first = timed("look at all small files, the first time", FILES, || {
        walk(&folder.join("small"))
    })?;
    let large = File::open(folder.join("large")).context("open the large file")?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut figures = vec![timed("look at all small files again", FILES, || {
            walk(&folder.join("small"))
        })?];
        figures.extend(reads(&large, cache)?);
        rounds.push(figures);
    }
    Ok([vec![first], medians(&rounds)].concat())
}

/// The beginning of a block device, which loses what it holds.
pub fn device(device: &Path, cache: Cache) -> Result<Vec<Figure>> {
    let device = open(device, false)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push([writes(&device)?, reads(&device, cache)?].concat());
    }
    Ok(medians(&rounds))
}

/// The files of a tree that [`tree`] reads: their paths in it and their contents.
pub fn make_tree() -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    let small = (0..FILES).map(|number| {
        let path = Path::new("small").join(name(number));
        (path, noise(number, FILE_BYTES))
    });
    let large = (0..LARGE_BYTES / PIECE_BYTES as u64).flat_map(|piece| noise(piece, PIECE_BYTES));
    small.chain(std::iter::once_with(|| {
        (PathBuf::from("large"), large.collect())
    }))
}

fn small_files(folder: &Path) -> Result<Vec<Figure>> {
    fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
    let each = |name: &str, work: &dyn Fn(u64, &Path) -> std::io::Result<()>| {
        timed(name, FILES, || {
            for number in 0..FILES {
                let path = folder.join(self::name(number));
                work(number, &path).with_context(|| format!("{name}: {}", path.display()))?;
            }
            Ok(())
        })
    };
    let figures = vec![
        each("create a small file", &|number, path| {
            let mut file = File::create_new(path)?;
            file.write_all(&noise(number, FILE_BYTES))
        })?,
        each("stat a small file", &|_, path| {
            fs::symlink_metadata(path).map(|_about| ())
        })?,
        timed("look at all small files", FILES, || walk(folder))?,
        each("remove a small file", &|_, path| fs::remove_file(path))?,
    ];
    fs::remove_dir(folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(figures)
}

/// Lists the folder, and asks what each is.
fn walk(folder: &Path) -> Result<()> {
    let mut found = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        entry?.metadata().context("look at a file")?;
        found += 1;
    }
    ensure!(found == FILES, "{found} files, not {FILES}");
    Ok(())
}

fn writes(file: &File) -> Result<Vec<Figure>> {
    let piece = noise(0, PIECE_BYTES);
    let block = noise(1, BLOCK_BYTES);
    let whole = timed("write 128 KiB after 128 KiB, and sync", pieces(), || {
        for number in 0..pieces() {
            file.write_all_at(&piece, number * PIECE_BYTES as u64)
                .context("write a piece")?;
        }
        file.sync_data().context("sync")
    })?;
    let random = timed("write 4 KiB anywhere, and sync each", RANDOM_WRITES, || {
        for number in 0..RANDOM_WRITES {
            file.write_all_at(&block, place(number))
                .context("write a block")?;
            file.sync_data().context("sync")?;
        }
        Ok(())
    })?;
    Ok(vec![whole, random])
}

fn reads(file: &File, cache: Cache) -> Result<Vec<Figure>> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut block = vec![0; BLOCK_BYTES];
    prepare(file, cache, Advice::Sequential)?;
    let whole = timed("read 128 KiB after 128 KiB", pieces(), || {
        for number in 0..pieces() {
            file.read_exact_at(&mut piece, number * PIECE_BYTES as u64)
                .context("read a piece")?;
        }
        Ok(())
    })?;
    prepare(file, cache, Advice::Random)?;
    let random = timed("read 4 KiB anywhere", RANDOM_READS, || {
        for number in 0..RANDOM_READS {
            file.read_exact_at(&mut block, place(number))
                .context("read a block")?;
        }
        Ok(())
    })?;
    Ok(vec![whole, random])
}

/// What has not been written back stays in the cache, so the callers of this have synced.
fn prepare(file: &File, cache: Cache, order: Advice) -> Result<()> {
    if cache == Cache::Cold {
        fadvise(file, 0, None, Advice::DontNeed).context("empty the cache")?;
    }
    fadvise(file, 0, None, order).context("say how it will be read")
}

fn pieces() -> u64 {
    LARGE_BYTES / PIECE_BYTES as u64
}

/// Where a random block is.
fn place(number: u64) -> u64 {
    scramble(number) % (LARGE_BYTES / BLOCK_BYTES as u64) * BLOCK_BYTES as u64
}

fn name(number: u64) -> String {
    format!("file-{number:04}")
}

/// Bytes that nothing compresses.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let words = (0..).flat_map(|word: u64| scramble(seed.rotate_left(32) ^ word).to_le_bytes());
    words.take(length).collect()
}

fn open(path: &Path, create: bool) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(create);
    let file = options.open(path);
    file.with_context(|| format!("open {}", path.display()))
}

fn timed(name: &str, operations: u64, work: impl FnOnce() -> Result<()>) -> Result<Figure> {
    let begun = Instant::now();
    work()?;
    let nanoseconds = u64::try_from(begun.elapsed().as_nanos())?;
    Ok(Figure {
        name: name.to_owned(),
        operations,
        nanoseconds,
    })
}

/// Of rounds that did the same in the same order.
fn medians(rounds: &[Vec<Figure>]) -> Vec<Figure> {
    let first = rounds.first().into_iter().flatten().enumerate();
    let figures = first.map(|(at, figure)| {
        let times = rounds.iter().filter_map(|round| round.get(at));
        let mut times: Vec<u64> = times.map(|figure| figure.nanoseconds).collect();
        times.sort_unstable();
        Figure {
            nanoseconds: times.get(times.len() / 2).copied().unwrap_or(0),
            ..figure.clone()
        }
    });
    figures.collect()
}

/// Reads what a run of the program printed.
pub fn parse(mut printed: impl Read) -> Result<Vec<Figure>> {
    let mut text = String::new();
    printed.read_to_string(&mut text).context("read figures")?;
    serde_json::from_str(&text).with_context(|| format!("understand figures: {text:?}"))
}
