//! Rule `no-machine-paths`: no file names a path of the machine that it was written on.
//!
//! Main type: [`Exception`].

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::tree::SourceFile;

const RULE: &str = "no-machine-paths";

/// Folders of people and of their tools. Joined here, for this file is checked too.
const STARTS: &[&str] = &[
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
];

/// One path that a file may name, because it is a path in a guest, an image or a manual.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    pub file: &'static str,
    pub reason: &'static str,
}

/// Files whose paths are a guest's, not a machine's.
pub const EXCEPTIONS: &[Exception] = &[];

pub fn check(files: &[SourceFile], exceptions: &[Exception]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let found = check_file(file);
        let excepted = exceptions
            .iter()
            .any(|exception| exception.file == file.path);
        if !excepted {
            findings.extend(found);
        } else if found.is_empty() {
            let advice =
                "names none any more: remove its exception from tests/tidy/src/machine_paths.rs";
            findings.push(Finding::new(&file.path, 1, RULE, advice));
        }
    }
    findings.extend(exceptions.iter().filter(|exception| !stands(files, exception)).map(|exception| {
        let advice = "an exception without a file or a reason: mend it in tests/tidy/src/machine_paths.rs";
        Finding::new(exception.file, 1, RULE, advice)
    }));
    findings
}

fn stands(files: &[SourceFile], exception: &Exception) -> bool {
    !exception.reason.trim().is_empty() && files.iter().any(|file| file.path == exception.file)
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let named = file
        .lines()
        .filter_map(|(number, line)| Some((number, machine_path(line)?)));
    named
        .map(|(number, path)| {
            let advice = format!("`{path}` is a path of one machine: make it relative or take it from the environment");
            Finding::new(&file.path, number, RULE, advice)
        })
        .collect()
}

/// The first absolute path in the line that starts in one of the folders.
fn machine_path(line: &str) -> Option<&str> {
    STARTS.iter().find_map(|start| {
        let found = line
            .match_indices(start)
            .find(|(at, _)| begins_here(line, *at, start.len()));
        found.map(|(at, _)| path_at(line, at))
    })
}

/// Whether the path begins at `at` (it is no later part of a longer path) and has a name below the folder.
fn begins_here(line: &str, at: usize, length: usize) -> bool {
    let in_path = |character: char| character.is_alphanumeric() || "._-}/*$)".contains(character);
    let before = line.get(..at).and_then(|text| text.chars().next_back());
    let after = line.get(at + length..).and_then(|text| text.chars().next());
    !before.is_some_and(in_path)
        && after.is_some_and(|character| character.is_alphanumeric() || "._".contains(character))
}

fn path_at(line: &str, at: usize) -> &str {
    let rest = line.get(at..).unwrap_or_default();
    let end =
        rest.find(|character: char| !(character.is_alphanumeric() || "._-/".contains(character)));
    rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest)
}
