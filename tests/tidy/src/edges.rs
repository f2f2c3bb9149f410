//! Rule `allowed-edges`: our crates use each other only as the table in ARCHITECTURE.md allows.
//!
//! The table stands between `<!-- edges:begin -->` and `<!-- edges:end -->`, with a row `| crate | may use |` per
//! crate. A crate's tests may use, besides its row, anything that its row reaches and the test objects.
//! Main function: [`check`]; [`parse`] reads the table.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::tree::numbered;
use crate::workspace::{Graph, Member};

const RULE: &str = "allowed-edges";
pub const PAGE: &str = "ARCHITECTURE.md";
const MANIFEST: &str = "Cargo.toml";
const BEGIN: &str = "<!-- edges:begin -->";
const END: &str = "<!-- edges:end -->";

/// Crates that exist for tests: any crate's tests may use them.
const TEST_OBJECTS: &[&str] = &["harness", "testbed"];

/// Two halves that meet in proto/ only.
const HALVES: [&str; 2] = ["agent/", "runtime/"];

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub line: usize,
    pub may_use: BTreeSet<String>,
}

pub type Table = BTreeMap<String, Row>;

pub fn check(page: Option<&str>, graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(graph.keys().filter_map(|name| circle(graph, name)));
    findings.extend(
        graph
            .iter()
            .filter_map(|(name, member)| other_half(graph, name, member)),
    );
    let Some(page) = page else {
        findings.push(Finding::new(
            PAGE,
            1,
            RULE,
            "write it, with the table of allowed edges",
        ));
        return findings;
    };
    match parse(page) {
        Err(finding) => findings.push(finding),
        Ok(table) => {
            findings.extend(names(&table, graph));
            findings.extend(
                graph
                    .iter()
                    .flat_map(|(name, member)| edges(&table, name, member)),
            );
        }
    }
    findings
}

/// Reads the table: the rows between the two marks, without its head.
pub fn parse(page: &str) -> Result<Table, Finding> {
    let mut table = Table::new();
    let inside = numbered(page)
        .skip_while(|(_, line)| line.trim() != BEGIN)
        .skip(1);
    let mut closed = false;
    for (number, line) in inside {
        if line.trim() == END {
            closed = true;
            break;
        }
        let Some((name, may_use)) = row(line) else {
            continue;
        };
        if table
            .insert(
                name.clone(),
                Row {
                    line: number,
                    may_use,
                },
            )
            .is_some()
        {
            return Err(Finding::new(
                PAGE,
                number,
                RULE,
                format!("`{name}` has a row already: keep one"),
            ));
        }
    }
    match closed && !table.is_empty() {
        true => Ok(table),
        false => Err(Finding::new(
            PAGE,
            1,
            RULE,
            format!("put the table of edges between `{BEGIN}` and `{END}`"),
        )),
    }
}

/// A row's crate and what it may use; nothing for the head, the rule below it and text around the table.
fn row(line: &str) -> Option<(String, BTreeSet<String>)> {
    let cells: Vec<&str> = line
        .trim()
        .strip_prefix('|')?
        .split('|')
        .map(str::trim)
        .collect();
    let [name, may_use, ..] = cells.as_slice() else {
        return None;
    };
    let head = name.is_empty() || *name == "crate" || name.starts_with(['-', ':']);
    let crates = may_use
        .split(',')
        .map(plain)
        .filter(|name| name.contains(char::is_alphanumeric));
    (!head).then(|| (plain(name), crates.collect()))
}

/// A crate's name as cargo writes it: the table may set it in back ticks.
fn plain(name: &str) -> String {
    name.trim().trim_matches('`').to_owned()
}

/// Crates in the table and crates on disk are the same.
fn names(table: &Table, graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, row) in table {
        let named = std::iter::once(name).chain(&row.may_use);
        for unknown in named.filter(|name| !graph.contains_key(*name)) {
            let advice = format!("there is no crate `{unknown}`: remove it from the table");
            findings.push(Finding::new(PAGE, row.line, RULE, advice));
        }
    }
    for (name, member) in graph.iter().filter(|(name, _)| !table.contains_key(*name)) {
        let advice = format!("add a row for the crate `{name}` ({})", member.folder);
        findings.push(Finding::new(PAGE, 1, RULE, advice));
    }
    findings
}

/// The edges of one crate that its row does not allow.
fn edges(table: &Table, name: &str, member: &Member) -> Vec<Finding> {
    let Some(row) = table.get(name) else {
        return Vec::new();
    };
    let below = reached(name, |name| {
        table
            .get(name)
            .map(|row| row.may_use.iter().collect())
            .unwrap_or_default()
    });
    let for_build = member
        .uses
        .iter()
        .filter(|used| !row.may_use.contains(*used));
    let for_tests = member
        .tests_use
        .iter()
        .filter(|used| !below.contains(*used) && !TEST_OBJECTS.contains(&used.as_str()));
    let found = for_build
        .map(|used| (used, "use"))
        .chain(for_tests.map(|used| (used, "use in its tests")));
    found
        .map(|(used, way)| {
            let advice = format!(
                "`{name}` may not {way} `{used}`: turn the arrow, or allow it in {PAGE} line {} and say why",
                row.line
            );
            Finding::new(&manifest(member), 1, RULE, advice)
        })
        .collect()
}

/// A crate that reaches itself, over dependencies of any kind.
fn circle(graph: &Graph, name: &str) -> Option<Finding> {
    let member = graph.get(name)?;
    reached(name, |name| neighbours(graph, name))
        .contains(name)
        .then(|| {
            Finding::new(
                &manifest(member),
                1,
                RULE,
                format!("`{name}` reaches itself: cut the circle of dependencies"),
            )
        })
}

/// A crate of one half that reaches the other.
fn other_half(graph: &Graph, name: &str, member: &Member) -> Option<Finding> {
    let half = HALVES
        .iter()
        .find(|half| member.folder.starts_with(**half))?;
    let reached = reached(name, |name| neighbours(graph, name));
    let other = reached.iter().find(|reached| {
        let folder = graph.get(*reached).map_or("", |member| &member.folder);
        HALVES
            .iter()
            .any(|other| other != half && folder.starts_with(other))
    })?;
    let advice = format!(
        "`{name}` reaches `{other}`: {} and {} meet in proto/ only",
        HALVES[0], HALVES[1]
    );
    Some(Finding::new(&manifest(member), 1, RULE, advice))
}

fn neighbours<'a>(graph: &'a Graph, name: &str) -> Vec<&'a String> {
    graph
        .get(name)
        .map(|member| member.uses.iter().chain(&member.tests_use).collect())
        .unwrap_or_default()
}

/// Everything that can be reached from `name`, `name` itself only over a circle.
fn reached<'a>(name: &str, neighbours: impl Fn(&str) -> Vec<&'a String>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut ahead = neighbours(name);
    while let Some(next) = ahead.pop() {
        if seen.insert(next.clone()) {
            ahead.extend(neighbours(next));
        }
    }
    seen
}

fn manifest(member: &Member) -> String {
    format!("{}/{MANIFEST}", member.folder)
}
