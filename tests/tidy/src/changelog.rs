//! Rule `changelog-form`: CHANGELOG.md starts with what is unreleased and is lists of short lines from there on.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::tree::{SourceFile, numbered};

const RULE: &str = "changelog-form";
const PATH: &str = "CHANGELOG.md";
const MOST_CHARACTERS: usize = 200;

/// Where in the file a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The title and what a reader must know, before the first release.
    Opening,
    Release,
}

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    let Some(file) = files.iter().find(|file| file.path == PATH) else {
        return vec![Finding::new(
            PATH,
            1,
            RULE,
            "write it: `## Unreleased`, then a line per change a user can see",
        )];
    };
    let mut findings = Vec::new();
    let mut place = Place::Opening;
    for (number, line) in numbered(&file.text) {
        if let Some(advice) = advice(place, line) {
            findings.push(Finding::new(PATH, number, RULE, advice));
        }
        if line.starts_with("## ") {
            place = Place::Release;
        }
    }
    if place == Place::Opening {
        findings.push(Finding::new(
            PATH,
            1,
            RULE,
            "add the section `## Unreleased`",
        ));
    }
    findings
}

fn advice(place: Place, line: &str) -> Option<&'static str> {
    match (place, line) {
        (Place::Opening, "## Unreleased") => None,
        (Place::Opening, _) if line.starts_with("## ") => {
            Some("the first section is `## Unreleased`")
        }
        (Place::Opening, _) => None,
        (Place::Release, "") => None,
        (Place::Release, "## Unreleased") => Some("one section `## Unreleased` is enough"),
        (Place::Release, _) if line.starts_with("## ") || line.starts_with("### ") => None,
        (Place::Release, _) if !line.starts_with("- ") => {
            Some("one change a line, each starting with `- `")
        }
        (Place::Release, _) if line.chars().count() > MOST_CHARACTERS => {
            Some("at most 200 characters: what a user sees, not how it is done")
        }
        (Place::Release, _) => None,
    }
}
