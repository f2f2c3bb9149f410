//! Rule `one-version`: one version of each package, all from the public registry; the exceptions only shrink.
//!
//! Main type: [`Exception`].

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::workspace::{Origin, Package};

const RULE: &str = "one-version";
const PLACE: &str = "Cargo.lock";
const HERE: &str = "tests/tidy/src/versions.rs";

/// One package that is built in several versions.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    pub package: &'static str,
    /// How many versions there are.
    pub versions: usize,
    /// Who needs the older one.
    pub reason: &'static str,
}

pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        package: "base64",
        versions: 2,
        reason: "0.22: tonic 0.14; ours is that of reqwest's stack",
    },
    Exception {
        package: "bitflags",
        versions: 2,
        reason: "1: vmm-sys-util 0.15, ttrpc's nix 0.26",
    },
    Exception {
        package: "hashbrown",
        versions: 2,
        reason: "0.15: petgraph 0.8, in the build of CRI's messages; nothing of it is shipped",
    },
    Exception {
        package: "itertools",
        versions: 2,
        reason: "0.14: prost 0.14's macro and build crates; nothing of it is shipped",
    },
    Exception {
        package: "getrandom",
        versions: 2,
        reason: "0.2: ring 0.17",
    },
    Exception {
        package: "linux-raw-sys",
        versions: 2,
        reason: "0.4: with rustix 0.38",
    },
    Exception {
        package: "memoffset",
        versions: 3,
        reason: "0.7: with nix 0.26; 0.6: with nix 0.24",
    },
    Exception {
        package: "mio",
        versions: 2,
        reason: "0.8: fuse-backend-rs 0.14, in the share server alone",
    },
    Exception {
        package: "netlink-packet-core",
        versions: 2,
        reason: "0.8: libcontainer 0.7",
    },
    Exception {
        package: "netlink-packet-route",
        versions: 2,
        reason: "0.31: libcontainer 0.7",
    },
    Exception {
        package: "netlink-sys",
        versions: 2,
        reason: "0.8: libcontainer 0.7",
    },
    Exception {
        package: "nix",
        versions: 4,
        reason: "0.24: fuse-backend-rs 0.14; 0.26: ttrpc 0.10; 0.29: libcontainer 0.7; ours is newer",
    },
    Exception {
        package: "rustix",
        versions: 2,
        reason: "0.38: which 4, in the build of the agent's protocol",
    },
    Exception {
        package: "syn",
        versions: 2,
        reason: "2: macro crates that have not moved to 3; nothing of it is shipped",
    },
    Exception {
        package: "thiserror",
        versions: 2,
        reason: "1: protobuf 3.7 and ttrpc 0.10",
    },
    Exception {
        package: "thiserror-impl",
        versions: 2,
        reason: "1: with thiserror 1",
    },
    Exception {
        package: "vm-memory",
        versions: 2,
        reason: "0.17: fuse-backend-rs 0.14 pins it, for buffers in the share server alone; no guest memory is there",
    },
];

pub fn check(packages: &[Package], exceptions: &[Exception]) -> Vec<Finding> {
    let mut findings = origins(packages);
    let versions = versions(packages);
    for (name, found) in versions.iter().filter(|(_, found)| found.len() > 1) {
        let exception = exceptions
            .iter()
            .find(|exception| exception.package == *name);
        if found.len() > exception.map_or(1, |exception| exception.versions) {
            let list: Vec<&str> = found.iter().copied().collect();
            let advice = format!(
                "{name} in {} versions ({}): bring them together",
                found.len(),
                list.join(", ")
            );
            findings.push(Finding::new(PLACE, 1, RULE, advice));
        }
    }
    for exception in exceptions {
        let found = versions.get(exception.package).map_or(0, BTreeSet::len);
        if found < exception.versions.max(2) || exception.reason.trim().is_empty() {
            let advice = format!(
                "{} has {found} versions now: lower or remove its exception",
                exception.package
            );
            findings.push(Finding::new(HERE, 1, RULE, advice));
        }
    }
    findings
}

fn versions(packages: &[Package]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    versions
}

fn origins(packages: &[Package]) -> Vec<Finding> {
    let elsewhere = packages.iter().filter_map(|package| match &package.origin {
        Origin::Elsewhere(source) => Some((package, source)),
        Origin::Here | Origin::Registry => None,
    });
    elsewhere
        .map(|(package, source)| {
            let advice = format!(
                "{} comes from {source}: only the public registry is allowed",
                package.name
            );
            Finding::new(PLACE, 1, RULE, advice)
        })
        .collect()
}
