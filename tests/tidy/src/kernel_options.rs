//! Rule `option-has-reason`: every option in a kernel fragment, or the group it stands in, has its reason above it.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::tree::SourceFile;

const RULE: &str = "option-has-reason";

/// Where the fragments of the guest kernel's configuration are.
const FOLDER: &str = "kernel-config/";

/// Shorter is a label, not a reason.
const SHORTEST_REASON: usize = 10;

/// What one line of a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Blank,
    Reason,
    Option,
    Other,
}

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    let is_fragment =
        |file: &&SourceFile| file.path.starts_with(FOLDER) && file.path.ends_with(".config");
    let fragments: Vec<&SourceFile> = files.iter().filter(is_fragment).collect();
    if fragments.is_empty() {
        let advice = "no fragment is where this test looks: mend tests/tidy/src/kernel_options.rs";
        return vec![Finding::new(FOLDER, 1, RULE, advice)];
    }
    fragments.into_iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut reasoned = false;
    for (number, line) in file.lines() {
        match kind(line) {
            Line::Blank => reasoned = false,
            Line::Reason => reasoned = true,
            Line::Option if reasoned => {}
            Line::Option => {
                let advice = "no reason: say in a `#` line directly above it, or above its group, why the guest needs it";
                findings.push(Finding::new(&file.path, number, RULE, advice));
            }
            Line::Other => {
                let advice =
                    "neither an option nor a `#` line: `CONFIG_X=y`, or `# CONFIG_X is not set`";
                findings.push(Finding::new(&file.path, number, RULE, advice));
            }
        }
    }
    findings
}

fn kind(line: &str) -> Line {
    let line = line.trim();
    let comment = line.strip_prefix('#').map(str::trim);
    match comment {
        _ if line.is_empty() => Line::Blank,
        _ if line.starts_with("CONFIG_") && line.contains('=') => Line::Option,
        Some(text) if text.starts_with("CONFIG_") && text.ends_with(" is not set") => Line::Option,
        // A short line is a heading: it gives no reason and ends the group before it.
        Some(text) if text.chars().count() < SHORTEST_REASON => Line::Blank,
        Some(_) => Line::Reason,
        None => Line::Other,
    }
}
