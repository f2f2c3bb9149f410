//! Rule `behind-one-door`: a package that one of our crates wraps is linked by that crate only.
//!
//! Main type: [`Door`]. Tests may use what they like.

#[cfg(test)]
mod tests;

use crate::Finding;
use crate::workspace::{Origin, Package};

const RULE: &str = "behind-one-door";

/// A package, and which of our crates may be linked with it.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    pub package: &'static str,
    pub crates: &'static [&'static str],
    pub reason: &'static str,
}

pub const DOORS: &[Door] = &[
    Door {
        package: "kvm-ioctls",
        crates: &["machine"],
        reason: "KVM is wrapped once",
    },
    Door {
        package: "kvm-bindings",
        crates: &["machine"],
        reason: "KVM is wrapped once",
    },
    Door {
        package: "virtio-queue",
        crates: &["virtio"],
        reason: "queues are walked in one file",
    },
    Door {
        package: "libcontainer",
        crates: &["container"],
        reason: "it may be replaced: it stays behind its seam",
    },
    Door {
        package: "libcgroups",
        crates: &["container"],
        reason: "it may be replaced: it stays behind its seam",
    },
    Door {
        package: "seccompiler",
        crates: &["vmm", "share"],
        reason: "a jail is its program's own",
    },
    Door {
        package: "fuse-backend-rs",
        crates: &["share"],
        reason: "files of the host are served by one jailed program",
    },
    Door {
        package: "ttrpc",
        crates: &["agent", "agent-client", "agentd"],
        reason: "only the two ends speak it",
    },
    Door {
        package: "tonic",
        crates: &[
            "cri",
            "cri-server",
            "cofferdam",
            "pod-resources",
            "devices",
            "bench",
            "conformance",
        ],
        reason: "gRPC ends in the daemon's CRI door, and begins in commands, in the question to kubelet which devices a pod has, in \
                 measurements and in tests",
    },
    Door {
        package: "reqwest",
        crates: &["registry"],
        reason: "what may be sent to which host is decided in one place",
    },
    Door {
        package: "clap",
        crates: &["cofferdam", "testbed", "bench"],
        reason: "arguments are read in programs",
    },
    Door {
        package: "anyhow",
        crates: &[
            "cofferdam",
            "guest-image",
            "harness",
            "testbed",
            "e2e",
            "bench",
            "conformance",
            "tidy",
        ],
        reason: "callers branch on kinds; only programs and tests end with a text",
    },
];

pub fn check(packages: &[Package], doors: &[Door]) -> Vec<Finding> {
    doors
        .iter()
        .flat_map(|door| check_door(packages, door))
        .collect()
}

fn check_door(packages: &[Package], door: &Door) -> Vec<Finding> {
    let ours = packages
        .iter()
        .filter(|package| package.origin == Origin::Here);
    let through = ours.filter(|package| {
        package
            .links
            .iter()
            .any(|link| packages[*link].name == door.package)
    });
    through
        .filter(|package| !door.crates.contains(&package.name.as_str()))
        .map(|package| {
            let (name, wrapped) = (&package.name, door.package);
            let advice = format!(
                "`{name}` may not use {wrapped} ({}): go through {}",
                door.reason,
                door.crates.join(", ")
            );
            Finding::new("Cargo.lock", 1, RULE, advice)
        })
        .collect()
}
