//! The checkout: the text of every file that git tracks or would track.
//!
//! Main type: [`SourceFile`]. Rules get slices of it and never touch the disk themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Larger files are data, not text that a person reads.
const LARGEST_TEXT_BYTES: u64 = 2 << 20;

/// One text file, its path relative to the root of the repository.
#[derive(Debug, Clone)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

impl SourceFile {
    pub fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The file's name without its folder.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.text)
    }
}

/// The lines of a text with their numbers, from 1.
pub fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// The line, from 1, that a byte offset falls in.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// The repository's root: two folders above this crate.
pub fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .ancestors()
        .nth(2)
        .unwrap_or(crate_folder)
        .to_owned()
}

/// Every tracked file and every new file that is not ignored, text only, in the order of their paths.
pub fn read(root: &Path) -> Result<Vec<SourceFile>> {
    let listing = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("run git ls-files (is git installed?)")?;
    if !listing.status.success() {
        bail!(
            "git ls-files: {}",
            String::from_utf8_lossy(&listing.stderr).trim()
        );
    }
    let mut paths: Vec<&str> = listing
        .stdout
        .split(|byte| *byte == 0)
        .filter_map(|path| std::str::from_utf8(path).ok())
        .filter(|path| !path.is_empty())
        .collect();
    paths.sort_unstable();
    paths.dedup();
    Ok(paths
        .into_iter()
        .filter_map(|path| read_text(root, path))
        .collect())
}

/// A file's text; nothing for what is no text: binaries, links, a tracked file deleted a moment ago.
fn read_text(root: &Path, path: &str) -> Option<SourceFile> {
    let full = root.join(path);
    let metadata = fs::symlink_metadata(&full).ok()?;
    if !metadata.is_file() || metadata.len() > LARGEST_TEXT_BYTES {
        return None;
    }
    let text = String::from_utf8(fs::read(&full).ok()?).ok()?;
    Some(SourceFile {
        path: path.to_owned(),
        text,
    })
}
