//! Rule `unit-in-name`: a constant that is a time is a `Duration`, or its name ends with its unit.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::rust_text;
use crate::tree::{self, SourceFile};

const RULE: &str = "unit-in-name";

/// Words in a constant's name that make it a time.
const TIME_WORDS: &[&str] = &[
    "TIMEOUT", "DEADLINE", "INTERVAL", "DELAY", "GRACE", "PATIENCE",
];

/// How the name of a number that is a time ends.
const UNITS: &[&str] = &[
    "NS", "NANOS", "US", "MICROS", "MS", "MILLIS", "SECONDS", "SECS", "MINUTES", "HOURS", "TICKS",
];

const NUMBERS: &[&str] = &[
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
    "f64",
];

pub fn check(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(check_file)
        .collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let code = rust_text::split(&file.text).code;
    let words: Vec<(usize, &str)> = rust_text::words(&code).collect();
    let items = words.windows(3).filter_map(|three| match three {
        [(_, "const" | "static"), (at, name), (_, kind)] => Some((*at, *name, *kind)),
        _ => None,
    });
    items
        .filter(|(_, name, kind)| is_time(name) && NUMBERS.contains(kind) && !has_unit(name))
        .map(|(offset, name, _)| {
            let advice = format!(
                "`{name}` has no unit: make it a `Duration`, or end its name with _MS, _SECONDS …"
            );
            Finding::new(&file.path, tree::line_of(&code, offset), RULE, advice)
        })
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
