//! Rule `clean-lines`: no tab and no blank at the end of a line in a Rust file.
//!
//! rustfmt leaves comments and strings alone, so it does not see these.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::tree::SourceFile;

const RULE: &str = "clean-lines";

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(check_file)
        .collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    // `str::lines` would swallow a carriage return.
    let lines = file.text.split('\n').zip(1..);
    lines
        .filter_map(|(line, number)| {
            let advice = match line {
                _ if line.contains('\t') => "replace the tab: four spaces, or \\t in a string",
                _ if line.ends_with(char::is_whitespace) => {
                    "remove the blanks at the end of the line"
                }
                _ => return None,
            };
            Some(Finding::new(&file.path, number, RULE, advice))
        })
        .collect()
}
