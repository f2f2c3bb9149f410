//! Rule `unit-in-name`: a constant that is a time is a `Duration`, or its name ends with its unit.
//!
//! Main type: [`Exception`].

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::rust_text;
use crate::tree::{self, SourceFile};

const RULE: &str = "unit-in-name";

/// One name that sounds like a time and is none.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    pub name: &'static str,
    pub reason: &'static str,
}

pub const EXCEPTIONS: &[Exception] = &[Exception {
    name: "TSC_DEADLINE",
    reason: "the feature bit of a processor's timer, called so in its manual",
}];

/// Words in a constant's name that make it a time.
const TIME_WORDS: &[&str] = &["TIMEOUT", "DEADLINE", "INTERVAL", "DELAY", "GRACE"];

/// How the name of a number that is a time ends.
const UNITS: &[&str] = &[
    "NS", "NANOS", "US", "MICROS", "MS", "MILLIS", "SECONDS", "SECS", "MINUTES", "HOURS", "TICKS",
];

const NUMBERS: &[&str] = &[
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
    "f64",
];

pub fn check(files: &[SourceFile], exceptions: &[Exception]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut excepted = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for (line, name) in times_without_unit(&file.text) {
            match exceptions.iter().find(|exception| exception.name == name) {
                Some(exception) => excepted.push(exception.name),
                None => findings.push(Finding::new(&file.path, line, RULE, advice(&name))),
            }
        }
    }
    let stale = exceptions.iter().filter(|exception| {
        !excepted.contains(&exception.name) || exception.reason.trim().is_empty()
    });
    findings.extend(stale.map(|exception| {
        let advice = format!(
            "the exception for {} is not needed or has no reason",
            exception.name
        );
        Finding::new("tests/tidy/src/deadlines.rs", 1, RULE, advice)
    }));
    findings
}

fn advice(name: &str) -> String {
    format!("`{name}` has no unit: make it a `Duration`, or end its name with _MS, _SECONDS …")
}

/// Lines and names of the constants that are times, numbers, and say no unit.
fn times_without_unit(text: &str) -> Vec<(usize, String)> {
    let code = rust_text::split(text).code;
    let words: Vec<(usize, &str)> = rust_text::words(&code).collect();
    let items = words.windows(3).filter_map(|three| match three {
        [(_, "const" | "static"), (at, name), (_, kind)] => Some((*at, *name, *kind)),
        _ => None,
    });
    items
        .filter(|(_, name, kind)| is_time(name) && NUMBERS.contains(kind) && !has_unit(name))
        .map(|(offset, name, _)| (tree::line_of(&code, offset), name.to_owned()))
        .collect()
}

fn is_time(name: &str) -> bool {
    name.split('_').any(|word| TIME_WORDS.contains(&word))
}

fn has_unit(name: &str) -> bool {
    name.rsplit('_')
        .next()
        .is_some_and(|last| UNITS.contains(&last))
}
