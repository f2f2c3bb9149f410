//! Turns a `ContainerSpec` into an OCI runtime specification, the form that the agent takes. Pure: values in, values out.
//! The parts lie beside it, one topic each; `pod` is above.

mod capabilities;
mod devices;
mod error;
mod mounts;
mod namespaces;
mod resources;
mod seccomp;
mod user;

use std::collections::HashMap;

use model::{ContainerSpec, Limits, LimitsChange, NamespaceOf};
use oci_spec::runtime::{
    Capabilities, Linux, LinuxBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    get_default_maskedpaths, get_default_readonly_paths,
};

pub use self::{
    devices::guest_has_device, error::SpecificationError, namespaces::check_user_namespace,
    seccomp::ProfileError,
};
use crate::{error::PodError, plan::ExecPlan};

/// Version of the OCI runtime specification that the result follows.
const OCI_VERSION: &str = "1.2.0";

/// PATH of a container whose image does not set one: what runc and containerd use.
pub(crate) const DEFAULT_PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether a guest can carry out what these values say, as far as that can be known without one.
///
/// # Errors
/// With the value that can't be.
pub fn check_container(container: &ContainerSpec) -> Result<(), SpecificationError> {
    specification(container, "").map(|_specification| ())
}

/// The specification of a container in a guest whose host name is `hostname`.
///
/// # Errors
/// With the value that no guest can carry out.
pub(crate) fn specification(
    container: &ContainerSpec,
    hostname: &str,
) -> Result<Spec, SpecificationError> {
    let process = process(container, hostname)?;
    let capabilities = process.capabilities().as_ref();
    let capabilities = capabilities.and_then(|sets| sets.bounding().clone());
    let root = RootBuilder::default()
        .path("rootfs")
        .readonly(container.read_only_root)
        .build()?;
    let annotations = user::annotation(&container.user)
        .into_iter()
        .chain(devices::annotations(&container.security));
    let mut spec = SpecBuilder::default()
        .version(OCI_VERSION)
        .process(process)
        .root(root)
        .mounts(mounts::mounts(container)?)
        .linux(linux(container, &capabilities.unwrap_or_default())?)
        .annotations(annotations.collect::<HashMap<_, _>>())
        .build()?;
    // Where the name is the pod's, the guest has it already. The builder would have one of its own.
    let own_name = container.namespaces.uts == NamespaceOf::Container;
    spec.set_hostname(own_name.then(|| hostname.to_owned()));
    Ok(spec)
}

/// The OCI `linux.resources` that change the limits of a container, as JSON; none where nothing changes.
///
/// # Errors
/// With the value that no guest can carry out.
pub(crate) fn limits_change(
    old: &Limits,
    change: &LimitsChange,
) -> Result<Option<Vec<u8>>, PodError> {
    let Some(resources) = resources::change(old, change)? else {
        return Ok(None);
    };
    let text = serde_json::to_vec(&resources);
    let text = text.map_err(|error| PodError::Specification(error.into()))?;
    Ok(Some(text))
}

fn linux(
    container: &ContainerSpec,
    capabilities: &Capabilities,
) -> Result<Linux, SpecificationError> {
    let security = &container.security;
    let rules = devices::rules(security, capabilities)?;
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces::namespaces(&container.namespaces)?)
        .resources(resources::resources(&container.limits, rules)?)
        .masked_paths(paths(
            "masked_paths",
            security.privileged,
            &security.masked_paths,
            get_default_maskedpaths,
        )?)
        .readonly_paths(paths(
            "readonly_paths",
            security.privileged,
            &security.read_only_paths,
            get_default_readonly_paths,
        )?);
    if let Some(filter) = seccomp::filter(security, capabilities)? {
        linux = linux.seccomp(filter);
    }
    devices::check_block_devices(&security.block_devices)?;
    let nodes = devices::nodes(security)?;
    if !nodes.is_empty() {
        linux = linux.devices(nodes);
    }
    if let Some(user) = &container.namespaces.user {
        let (uids, gids) = namespaces::mappings(user)?;
        linux = linux.uid_mappings([uids]).gid_mappings([gids]);
    }
    Ok(linux.build()?)
}

fn paths(
    field: &'static str,
    privileged: bool,
    given: &Option<Vec<String>>,
    default: fn() -> Vec<String>,
) -> Result<Vec<String>, SpecificationError> {
    if privileged {
        return Ok(Vec::new());
    }
    let Some(given) = given else {
        return Ok(default());
    };
    match given.iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(SpecificationError::RelativePath {
            field,
            path: path.clone(),
        }),
        None => Ok(given.clone()),
    }
}

/// The process of an exec in a container: the container's own but for what it runs and its terminal. Its host name's variable is in the
/// container's environment already.
///
/// # Errors
/// With the value that no guest can carry out; the container has it, too.
pub(crate) fn exec_process(
    container: &ContainerSpec,
    plan: &ExecPlan,
) -> Result<Process, SpecificationError> {
    let mut spec = ContainerSpec {
        args: plan.args.clone(),
        stdin: plan.stdin,
        terminal: plan.terminal,
        ..container.clone()
    };
    // The terminal is the client's, not the one that the container's own variable may speak of: as containerd does it.
    if plan.terminal.is_some() {
        spec.env.push("TERM=xterm".to_owned());
    }
    process(&spec, "")
}

fn process(container: &ContainerSpec, hostname: &str) -> Result<Process, SpecificationError> {
    let mut process = ProcessBuilder::default()
        .terminal(container.terminal.is_some())
        .user(user::user(&container.user)?)
        .args(container.args.clone())
        .env(environment(container, hostname))
        .cwd(container.cwd.as_str())
        .capabilities(capabilities::capabilities(&container.security)?)
        .rlimits(resources::rlimits(&container.rlimits)?)
        .no_new_privileges(container.no_new_privileges);
    if let Some(profile) = &container.security.apparmor_profile {
        process = process.apparmor_profile(profile.as_str());
    }
    if let Some(value) = container.oom_score_adj {
        process = process.oom_score_adj(resources::oom_score_adj(value)?);
    }
    Ok(process.build()?)
}

/// The container's own variables over PATH, HOSTNAME and, with a terminal, TERM; the last of one name wins.
fn environment(container: &ContainerSpec, hostname: &str) -> Vec<String> {
    let mut all = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if container.terminal.is_some() {
        all.push("TERM=xterm".to_owned());
    }
    all.extend(container.env.iter().cloned());
    let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = Vec::with_capacity(all.len());
    for entry in all {
        kept.retain(|earlier| name_of(earlier) != name_of(&entry));
        kept.push(entry);
    }
    kept
}

#[cfg(test)]
mod tests;
