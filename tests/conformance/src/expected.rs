//! What is expected of the specs: that they pass, but for those in the table `expected-skips`. Main functions: [`table`],
//! [`compare`]; main type: [`Told`].

use std::fmt;

use anyhow::{Context, Result, ensure};

use crate::report::{Outcome, Report, Spec};

/// Lines of "part of a spec's name | reason".
const TABLE: &str = include_str!("../expected-skips");

/// How much of a failure is printed; the rest is in critest's log.
const SHOWN_CHARACTERS: usize = 300;

/// Specs that are not expected to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pattern: String,
    reason: String,
}

pub(crate) fn table() -> Result<Vec<Line>> {
    parse(TABLE).context("read tests/conformance/expected-skips")
}

fn parse(text: &str) -> Result<Vec<Line>> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let (pattern, reason) = line.split_once('|').unwrap_or_default();
            let (pattern, reason) = (pattern.trim().to_owned(), reason.trim().to_owned());
            let whole = !pattern.is_empty() && !reason.is_empty();
            ensure!(whole, "line {} is no \"pattern | reason\"", at + 1);
            Ok(Line { pattern, reason })
        })
        .collect()
}

/// The results, to be printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told<'a> {
    passed: usize,
    not_selected: usize,
    /// By critest, which said why.
    skipped: Vec<(&'a Spec, &'a str)>,
    /// With the table's reason.
    failed_as_expected: Vec<(&'a Spec, &'a str)>,
    /// They are in the table and pass.
    passed_unexpectedly: Vec<&'a Spec>,
    /// With critest's words.
    failed: Vec<(&'a Spec, &'a str)>,
    /// Patterns that no spec has.
    idle: Vec<&'a str>,
}

pub(crate) fn compare<'a>(report: &'a Report, table: &'a [Line]) -> Told<'a> {
    let mut told = Told {
        passed: 0,
        not_selected: 0,
        skipped: Vec::new(),
        failed_as_expected: Vec::new(),
        passed_unexpectedly: Vec::new(),
        failed: Vec::new(),
        idle: Vec::new(),
    };
    for spec in &report.specs {
        let line = table.iter().find(|line| spec.name.contains(&line.pattern));
        match (&spec.outcome, line) {
            (Outcome::Passed, Some(_)) => told.passed_unexpectedly.push(spec),
            (Outcome::Passed, None) => told.passed += 1,
            (Outcome::NotSelected, _) => told.not_selected += 1,
            (Outcome::Skipped(why), _) => told.skipped.push((spec, why)),
            (Outcome::Failed(_), Some(line)) => told.failed_as_expected.push((spec, &line.reason)),
            (Outcome::Failed(why), None) => told.failed.push((spec, why)),
        }
    }
    let used = |line: &&Line| {
        report
            .specs
            .iter()
            .any(|spec| spec.name.contains(&line.pattern))
    };
    let idle = table.iter().filter(|line| !used(line));
    told.idle = idle.map(|line| line.pattern.as_str()).collect();
    told
}

impl Told<'_> {
    /// Whether something ran, and nothing failed that the table does not excuse.
    pub(crate) fn is_good(&self) -> bool {
        let ran = self.passed + self.failed_as_expected.len() + self.passed_unexpectedly.len();
        ran > 0 && self.failed.is_empty()
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, title: &str, specs: &[(&Spec, &str)]| {
            if specs.is_empty() {
                return Ok(());
            }
            writeln!(f, "\n{title}: {}", specs.len())?;
            for (spec, why) in specs {
                let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
                let why: String = why.chars().take(SHOWN_CHARACTERS).collect();
                writeln!(f, "    {}\n        {why}", spec.name)?;
            }
            Ok(())
        };
        list(f, "skipped by critest", &self.skipped)?;
        list(
            f,
            "failed, as expected-skips says",
            &self.failed_as_expected,
        )?;
        let better: Vec<_> = self
            .passed_unexpectedly
            .iter()
            .map(|spec| (*spec, "its line in expected-skips can go"))
            .collect();
        list(f, "passed, against expected-skips", &better)?;
        for pattern in &self.idle {
            writeln!(
                f,
                "\nno spec of this critest holds {pattern:?}, which is in expected-skips"
            )?;
        }
        list(f, "FAILED", &self.failed)?;
        writeln!(
            f,
            "\nconformance: {} passed, {} failed, {} failed as expected, {} skipped, {} not selected",
            self.passed + self.passed_unexpectedly.len(),
            self.failed.len(),
            self.failed_as_expected.len(),
            self.skipped.len(),
            self.not_selected
        )
    }
}

#[cfg(test)]
mod tests;
