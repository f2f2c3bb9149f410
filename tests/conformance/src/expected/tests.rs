//! Specs against a table.

use super::{compare, parse, table};
use crate::report::{Outcome, Report, Spec};

fn report(specs: &[(&str, Outcome)]) -> Report {
    let specs = specs.iter().map(|(name, outcome)| Spec {
        name: (*name).to_owned(),
        outcome: outcome.clone(),
    });
    Report {
        specs: specs.collect(),
    }
}

fn failed() -> Outcome {
    Outcome::Failed("failed: it broke".to_owned())
}

#[test]
fn table_of_this_repository_is_right() {
    assert!(!table().unwrap().is_empty());
}

#[test]
fn line_without_a_reason_is_refused() {
    for wrong in ["pattern", "pattern |", "| reason"] {
        let error = parse(&format!("# comment\n\n{wrong}\n")).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}

#[test]
fn failure_in_the_table_is_no_failure() {
    let table = parse("Streaming | not yet").unwrap();
    let (good, bad) = (("A / b", Outcome::Passed), ("A / c", failed()));
    let excused = ("Streaming / exec", failed());
    let report_of_good = report(&[good.clone(), excused.clone()]);
    let told = compare(&report_of_good, &table);
    assert!(told.is_good());
    assert!(told.to_string().contains("not yet"), "{told}");
    let report_of_bad = report(&[good, excused, bad]);
    let told = compare(&report_of_bad, &table);
    assert!(!told.is_good());
    assert!(
        told.to_string().contains("A / c\n        failed: it broke"),
        "{told}"
    );
    assert!(
        told.to_string()
            .ends_with("1 passed, 1 failed, 1 failed as expected, 0 skipped, 0 not selected\n"),
        "{told}"
    );
}

#[test]
fn line_that_is_not_needed_is_told() {
    let table = parse("Streaming | not yet\nOther | not yet").unwrap();
    let report = report(&[("Streaming / exec", Outcome::Passed)]);
    let told = compare(&report, &table).to_string();
    assert!(told.contains("its line in expected-skips can go"), "{told}");
    assert!(told.contains("\"Other\""), "{told}");
}

#[test]
fn run_of_nothing_is_not_good() {
    let report = report(&[
        ("A", Outcome::NotSelected),
        ("B", Outcome::Skipped("why".to_owned())),
    ]);
    assert!(!compare(&report, &[]).is_good());
}
