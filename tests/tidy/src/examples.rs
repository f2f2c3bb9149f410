//! Rule `examples-are-text`: a fenced block in a documentation comment says that it is text.
//!
//! Nothing runs such blocks: rustdoc would link each into a program of its own, which takes longer than all unit tests. A block
//! without a word behind its fence is a Rust program to rustdoc, and would look like a tested one.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::tree::SourceFile;

const RULE: &str = "examples-are-text";

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(check_file)
        .collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let lines = file.text.lines().zip(1..);
    let fences = lines.filter_map(|(line, number)| {
        let comment = line.trim_start();
        let said = comment
            .strip_prefix("//!")
            .or_else(|| comment.strip_prefix("///"))?;
        Some((said.trim_start().strip_prefix("```")?, number))
    });
    // Every other fence closes what the one before has opened.
    fences
        .step_by(2)
        .filter(|(word, _)| *word != "text")
        .map(|(_, number)| {
            let advice = "write ```text, and show what a program does by a unit test";
            Finding::new(&file.path, number, RULE, advice)
        })
        .collect()
}
