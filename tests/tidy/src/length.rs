//! Rule `one-idea-file`: a Rust file has at most 500 lines; the exceptions are a table that only shrinks.
//!
//! Main type: [`Exception`].

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::tree::SourceFile;

const RULE: &str = "one-idea-file";
const MOST_LINES: usize = 500;

/// One file that may be longer, up to the length it had when it was listed.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    pub path: &'static str,
    pub most_lines: usize,
    pub reason: &'static str,
}

/// Long tables only. Remove a line as soon as its file is short again: tidy asks for it.
pub const EXCEPTIONS: &[Exception] = &[];

pub fn check(files: &[SourceFile], exceptions: &[Exception]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files
        .iter()
        .filter(|file| file.is_rust())
        .filter_map(|file| too_long(file, exceptions))
        .collect();
    findings.extend(
        exceptions
            .iter()
            .filter_map(|exception| no_longer_needed(files, exception)),
    );
    findings
}

fn too_long(file: &SourceFile, exceptions: &[Exception]) -> Option<Finding> {
    let lines = file.text.lines().count();
    let exception = exceptions
        .iter()
        .find(|exception| exception.path == file.path);
    let most = exception.map_or(MOST_LINES, |exception| exception.most_lines);
    let advice = || format!("{lines} lines, at most {most}: split it where the cut is narrow");
    (lines > most).then(|| Finding::new(&file.path, most + 1, RULE, advice()))
}

fn no_longer_needed(files: &[SourceFile], exception: &Exception) -> Option<Finding> {
    let file = files.iter().find(|file| file.path == exception.path);
    let lines = file.map_or(0, |file| file.text.lines().count());
    let advice = match (lines, exception.reason.trim()) {
        (_, "") => "give the exception in tests/tidy/src/length.rs a reason".to_owned(),
        (0..=MOST_LINES, _) => {
            "short enough: remove its exception from tests/tidy/src/length.rs".to_owned()
        }
        _ if lines < exception.most_lines => {
            format!("it shrank: lower its exception in tests/tidy/src/length.rs to {lines}")
        }
        _ => return None,
    };
    Some(Finding::new(exception.path, 1, RULE, advice))
}
