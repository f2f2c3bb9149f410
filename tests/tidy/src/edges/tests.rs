//! An arrow that turns back is found.

use super::*;

/// A crate: folder, what it uses, what its tests use.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

fn graph(cases: &[Case]) -> Graph {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let member = |(folder, uses, tests_use): &Case| {
        let name = folder.rsplit('/').next().unwrap_or(folder);
        (
            name.to_owned(),
            Member {
                folder: (*folder).to_owned(),
                uses: set(uses),
                tests_use: set(tests_use),
            },
        )
    };
    cases.iter().map(member).collect()
}

fn check_edges(rows: &str, cases: &[Case], expect: &[&str]) {
    let page = format!("# Title\n\n{BEGIN}\n| crate | may use |\n|---|---|\n{rows}\n{END}\n");
    let found = check(Some(&page), &graph(cases));
    assert_eq!(found.len(), expect.len(), "{rows}: {found:?}");
    for (finding, part) in found.iter().zip(expect) {
        assert!(
            finding.to_string().contains(part),
            "{finding} says nothing of {part}"
        );
    }
}

#[test]
fn edge_in_the_table_is_fine() {
    check_edges(
        "| `pod` | `model`, vm-client |\n| model | — |\n| vm-client | |",
        &[
            ("runtime/pod", &["model"], &[]),
            ("runtime/model", &[], &[]),
            ("runtime/vm-client", &[], &[]),
        ],
        &[],
    );
}

#[test]
fn edge_that_turns_back_is_found() {
    check_edges(
        "| pod | model |\n| model | |",
        &[("runtime/pod", &[], &[]), ("runtime/model", &["pod"], &[])],
        &["runtime/model/Cargo.toml:1: allowed-edges: `model` may not use `pod`"],
    );
}

#[test]
fn edge_of_tests_may_reach_lower_crates_and_test_objects() {
    let low: Case = ("runtime/model", &[], &[]);
    let harness: Case = ("tests/harness", &[], &[]);
    let rows = "| cofferdam | pod |\n| pod | model |\n| model | |\n| harness | |";
    let top: Case = ("runtime/cofferdam", &["pod"], &["model", "harness"]);
    check_edges(
        rows,
        &[top, ("runtime/pod", &["model"], &[]), low, harness],
        &[],
    );
    let above: Case = ("runtime/pod", &["model"], &["cofferdam"]);
    let alone: Case = ("runtime/cofferdam", &[], &[]);
    check_edges(
        rows,
        &[alone, above, low, harness],
        &["`pod` may not use in its tests `cofferdam`"],
    );
}

#[test]
fn edge_circle_is_found() {
    let found = check(
        None,
        &graph(&[("runtime/a", &["b"], &[]), ("runtime/b", &[], &["a"])]),
    );
    let circles = found
        .iter()
        .filter(|finding| finding.advice.contains("reaches itself"))
        .count();
    assert_eq!(circles, 2, "{found:?}");
}

#[test]
fn edge_between_the_halves_is_found_over_any_way() {
    check_edges(
        "| agentd | agent |\n| agent | model |\n| model | |",
        &[
            ("agent/agentd", &["agent"], &[]),
            ("proto/agent", &["model"], &[]),
            ("runtime/model", &[], &[]),
        ],
        &["`agentd` reaches `model`"],
    );
    check_edges(
        "| pod | agentd |\n| agentd | |",
        &[
            ("runtime/pod", &[], &["agentd"]),
            ("agent/agentd", &[], &[]),
        ],
        &["`pod` reaches `agentd`"],
    );
}

#[test]
fn edge_table_and_disk_name_the_same_crates() {
    check_edges(
        "| pod | gone |\n| lost | |",
        &[("runtime/pod", &[], &[]), ("runtime/model", &[], &[])],
        &[
            "no crate `lost`",
            "no crate `gone`",
            "add a row for the crate `model`",
        ],
    );
}

#[test]
fn edge_table_missing_or_double_is_found() {
    let pod = graph(&[("runtime/pod", &[], &[])]);
    assert_eq!(check(None, &pod).len(), 1);
    assert_eq!(check(Some("# Title\n"), &pod).len(), 1);
    assert_eq!(check(Some(&format!("{BEGIN}\n| pod | |\n")), &pod).len(), 1);
    check_edges(
        "| pod | |\n| pod | |",
        &[("runtime/pod", &[], &[])],
        &["`pod` has a row already"],
    );
}
