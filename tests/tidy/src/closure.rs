//! Rule `monitor-is-bare`: nothing that the monitor is linked with brings an async runtime or a big TLS library.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use crate::Finding;
use crate::workspace::Package;

const RULE: &str = "monitor-is-bare";

/// The monitor, and the crates that it is made of.
pub const BARE: &[&str] = &["vmm", "machine", "virtio", "monitor"];

/// Package names, or their starts where they end in a star.
const DENIED: &[&str] = &[
    "tokio",
    "tokio-*",
    "async-std",
    "async-io",
    "async-executor",
    "smol",
    "mio",
    "futures*",
    "ttrpc*",
    "tonic*",
    "hyper*",
    "aws-lc*",
    "openssl*",
    "rustls*",
    "ring",
];

pub fn check(packages: &[Package], bare: &[&str]) -> Vec<Finding> {
    bare.iter()
        .flat_map(|name| check_one(packages, name))
        .collect()
}

fn check_one(packages: &[Package], name: &str) -> Vec<Finding> {
    let Some(start) = packages.iter().position(|package| package.name == name) else {
        let advice = format!(
            "there is no crate `{name}` any more: mend the list in tests/tidy/src/closure.rs"
        );
        return vec![Finding::new("Cargo.toml", 1, RULE, advice)];
    };
    let ways = ways(packages, start);
    let mut denied: Vec<usize> = ways
        .keys()
        .copied()
        .filter(|at| is_denied(&packages[*at].name))
        .collect();
    denied.sort_unstable();
    denied
        .into_iter()
        .map(|at| {
            let advice = format!("cut it from the monitor: {}", way(packages, &ways, at));
            Finding::new("Cargo.lock", 1, RULE, advice)
        })
        .collect()
}

/// For each package that `start` is linked with: the package through which the shortest way leads.
fn ways(packages: &[Package], start: usize) -> HashMap<usize, usize> {
    let mut ways = HashMap::new();
    let mut ahead = VecDeque::from([start]);
    while let Some(from) = ahead.pop_front() {
        for &to in &packages[from].links {
            if to != start && !ways.contains_key(&to) {
                ways.insert(to, from);
                ahead.push_back(to);
            }
        }
    }
    ways
}

fn way(packages: &[Package], ways: &HashMap<usize, usize>, end: usize) -> String {
    let steps = std::iter::successors(Some(end), |at| ways.get(at).copied());
    let mut names: Vec<&str> = steps.map(|at| packages[at].name.as_str()).collect();
    names.reverse();
    names.join(" → ")
}

fn is_denied(name: &str) -> bool {
    DENIED.iter().any(|denied| match denied.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *denied,
    })
}
