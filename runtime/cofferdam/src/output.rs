//! Standard output and error for people and programs: lines, tables, JSON, a progress line. Everything that the program prints goes
//! through here, but for the container's own bytes.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// One line on standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// One JSON document on standard output.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    line(&text)?;
    Ok(())
}

/// A table on standard output; the first row is its head.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for text in layout(rows) {
        writeln!(out, "{text}")?;
    }
    Ok(())
}

fn layout<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let mut text = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                text.push_str(&format!("{cell:<width$}   "));
            }
            text.trim_end().to_owned()
        })
        .collect()
}

/// What is going on, on standard error: one line that changes on a terminal, nothing elsewhere.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    shown: bool,
    terminal: bool,
}

impl ProgressLine {
    pub(crate) fn new() -> Self {
        Self {
            shown: false,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// Shows `text` instead of what was shown before.
    pub(crate) fn show(&mut self, text: &str) {
        if self.terminal {
            // A progress line that can't be written is not worth an error.
            drop(write!(io::stderr().lock(), "\r\x1b[K{text}"));
            self.shown = true;
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown {
            drop(write!(io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

#[cfg(test)]
mod tests;
