//! What a specification asks of this agent beyond the OCI specification: its annotations with our prefix (proto/agent/agent.proto, StartContainerRequest).
//! One that is not known is refused: it may be a restriction.

use oci_spec::runtime::Spec;

use crate::{account::Groups, failure::Failure};

const PREFIX: &str = "cofferdam.agent.";
const GROUPS: &str = "cofferdam.agent.groups";
const DEVICES: &str = "cofferdam.agent.devices";
const DISKS: &str = "cofferdam.agent.disks";

/// Which of the image's groups the user gets.
pub(crate) fn groups(spec: &Spec) -> Result<Groups, Failure> {
    match value(spec, GROUPS) {
        None => Ok(Groups::UnlessNamed),
        Some("merge") => Ok(Groups::Merge),
        Some("strict") => Ok(Groups::Strict),
        Some(other) => Err(unknown(GROUPS, other)),
    }
}

/// Whether the container gets a node for each of the guest's devices.
pub(crate) fn every_device(spec: &Spec) -> Result<bool, Failure> {
    match value(spec, DEVICES) {
        None => Ok(false),
        Some("all") => Ok(true),
        Some(other) => Err(unknown(DEVICES, other)),
    }
}

/// Refuses those of ours that are not known.
pub(crate) fn check(spec: &Spec) -> Result<(), Failure> {
    let names = spec.annotations().iter().flat_map(|all| all.keys());
    for name in names {
        if name.starts_with(PREFIX) && ![GROUPS, DEVICES, DISKS].contains(&name.as_str()) {
            return Err(Failure::invalid(format!(
                "the annotation {name:?} is not known to this agent"
            )));
        }
    }
    match value(spec, DISKS) {
        // They come beside the specification.
        None | Some("mounted") => {}
        Some(other) => return Err(unknown(DISKS, other)),
    }
    groups(spec).and_then(|_| every_device(spec)).map(|_| ())
}

fn value<'spec>(spec: &'spec Spec, name: &str) -> Option<&'spec str> {
    let all = spec.annotations().as_ref()?;
    all.get(name).map(String::as_str)
}

fn unknown(name: &str, value: &str) -> Failure {
    Failure::invalid(format!("the annotation {name:?} can't be {value:?}"))
}
