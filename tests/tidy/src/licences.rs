//! Rule `licence-allowed`: every package we build with has a licence that lets us ship it.
//!
//! Main types: [`Exception`] for one package, and the list [`ALLOWED`] for all.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::workspace::{Origin, Package};

const RULE: &str = "licence-allowed";
const PLACE: &str = "Cargo.lock";

/// SPDX names that are fine for a static program under Apache-2.0: permissive ones, and MPL-2.0, which asks for
/// the source of its own files only.
pub const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One package whose manifest says too little or something else.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    pub package: &'static str,
    /// What its manifest says; empty where it says nothing.
    pub says: &'static str,
    pub reason: &'static str,
}

pub const EXCEPTIONS: &[Exception] = &[Exception {
    package: "rust-criu",
    says: "",
    reason: "its manifest points at a file, and the file is the text of MIT; libcontainer brings it",
}];

pub fn check(packages: &[Package], exceptions: &[Exception]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages
        .iter()
        .filter(|package| package.origin != Origin::Here)
    {
        let says = package.licence.as_deref().unwrap_or_default();
        if !is_allowed(says)
            && !exceptions
                .iter()
                .any(|exception| covers(exception, package))
        {
            let (name, version) = (&package.name, &package.version);
            let advice = format!(
                "{name} {version} is under `{says}`: do without it, or give the reason for an exception"
            );
            findings.push(Finding::new(PLACE, 1, RULE, advice));
        }
    }
    findings.extend(
        exceptions
            .iter()
            .filter(|exception| !is_needed(packages, exception))
            .map(|exception| {
                let advice = format!(
                    "remove the exception for {}: not needed, or without a reason",
                    exception.package
                );
                Finding::new("tests/tidy/src/licences.rs", 1, RULE, advice)
            }),
    );
    findings
}

fn covers(exception: &Exception, package: &Package) -> bool {
    exception.package == package.name
        && exception.says == package.licence.as_deref().unwrap_or_default()
}

fn is_needed(packages: &[Package], exception: &Exception) -> bool {
    let reasoned = !exception.reason.trim().is_empty();
    reasoned
        && !is_allowed(exception.says)
        && packages.iter().any(|package| covers(exception, package))
}

/// Whether an SPDX expression can be met with allowed licences alone: one side of each `OR`, both of each `AND`.
///
/// A slash is the `OR` of old manifests. `AND` binds closer than `OR` (SPDX specification, annex D).
pub fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    matches!(any_of(&words), Some((true, [])))
}

/// Words that are still to be read.
type Rest<'a> = &'a [&'a str];

fn any_of<'a>(words: Rest<'a>) -> Option<(bool, Rest<'a>)> {
    let (mut allowed, mut rest) = all_of(words)?;
    while let ["OR", after @ ..] = rest {
        let (next, after) = all_of(after)?;
        (allowed, rest) = (allowed | next, after);
    }
    Some((allowed, rest))
}

fn all_of<'a>(words: Rest<'a>) -> Option<(bool, Rest<'a>)> {
    let (mut allowed, mut rest) = one(words)?;
    while let ["AND", after @ ..] = rest {
        let (next, after) = one(after)?;
        (allowed, rest) = (allowed & next, after);
    }
    Some((allowed, rest))
}

fn one<'a>(words: Rest<'a>) -> Option<(bool, Rest<'a>)> {
    match words {
        ["(", inside @ ..] => match any_of(inside)? {
            (allowed, [")", rest @ ..]) => Some((allowed, rest)),
            _ => None,
        },
        [name, "WITH", exception, rest @ ..] => Some((
            ALLOWED.contains(&format!("{name} WITH {exception}").as_str()),
            rest,
        )),
        [name, rest @ ..] => Some((ALLOWED.contains(name), rest)),
        [] => None,
    }
}
