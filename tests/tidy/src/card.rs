//! Rule `module-card`: every Rust file opens with `//!` and says something there.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::tree::SourceFile;

const RULE: &str = "module-card";

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.is_rust() && !opens_with_card(&file.text))
        .map(|file| {
            let advice = "open the file with `//!`: what it is for, its main type, its neighbours";
            Finding::new(&file.path, 1, RULE, advice)
        })
        .collect()
}

fn opens_with_card(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first
        .strip_prefix("//!")
        .is_some_and(|card| !card.trim().is_empty())
}
