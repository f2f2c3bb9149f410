//! What of an OCI specification this agent carries out: [`parse`] reads and refuses at the door, `prepare` splits it into the
//! part that libcontainer applies and the `LastSteps` that the executor applies in the end.
//!
//! Read-only paths are one because libcontainer makes them noexec, nosuid and nodev as well, and leaves what is mounted below them writable.
//! Seccomp and capabilities are last steps because libcontainer 0.7 loads the filter before it waits for the start signal (so a
//! strict profile would have to allow `accept4`), forgets it for every exec, and leaves a capability set that the specification
//! does not name at its full size. Cgroup limits are `cgroup`'s.

use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities, Linux, LinuxCapabilities, LinuxNamespaceType, LinuxResources, LinuxSeccomp,
    LinuxSeccompAction, Process, RootBuilder, Spec,
};
use serde::{Deserialize, Serialize};

use crate::{
    account::SettledUser, annotation, failure::Failure, message::Order,
    user_namespace::UserNamespace,
};

/// Reads a container's specification and refuses what this agent cannot carry out.
///
/// # Errors
/// With the reason, of kind `Invalid`.
pub fn parse(json: &[u8]) -> Result<Spec, Failure> {
    let spec: Spec = serde_json::from_slice(json).map_err(|error| {
        Failure::invalid(format!("oci_spec is not an OCI specification: {error}"))
    })?;
    let process = spec.process().as_ref().ok_or_else(|| missing("process"))?;
    check_process(process)?;
    let linux = spec.linux().as_ref().ok_or_else(|| missing("linux"))?;
    check_linux(linux)?;
    annotation::check(&spec)?;
    let hooks = spec
        .hooks()
        .as_ref()
        .and_then(|hooks| serde_json::to_value(hooks).ok());
    if hooks.is_some_and(|hooks| hooks.as_object().is_some_and(|lists| !lists.is_empty())) {
        return Err(unsupported(
            "hooks",
            "the guest has no programs for them to run",
        ));
    }
    Ok(spec)
}

/// Reads the `process` of an exec and refuses what this agent cannot carry out.
///
/// # Errors
/// With the reason, of kind `Invalid`.
pub fn parse_process(json: &[u8]) -> Result<Process, Failure> {
    let process = serde_json::from_slice(json)
        .map_err(|error| Failure::invalid(format!("oci_process is not an OCI process: {error}")))?;
    check_process(&process)?;
    Ok(process)
}

/// Reads the `linux.resources` of a container that runs.
///
/// # Errors
/// With the reason, of kind `Invalid`.
pub fn parse_resources(json: &[u8]) -> Result<LinuxResources, Failure> {
    serde_json::from_slice(json)
        .map_err(|error| Failure::invalid(format!("oci_resources are not OCI resources: {error}")))
}

/// What the executor applies, in the process itself, right before it becomes the command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LastSteps {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) capabilities: LinuxCapabilities,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: Option<LinuxSeccomp>,
    /// Of the container, made so by its first process.
    pub(crate) read_only_paths: Vec<String>,
    /// Of the process, as it knows itself.
    pub(crate) uid: u32,
    /// The container's, for execs.
    pub(crate) user: SettledUser,
    /// The same.
    pub(crate) user_namespace: Option<UserNamespace>,
}

/// What of a container all its processes have.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfContainer {
    pub(crate) seccomp: Option<LinuxSeccomp>,
    pub(crate) user: SettledUser,
    pub(crate) user_namespace: Option<UserNamespace>,
}

/// Splits a parsed specification.
pub(crate) fn prepare(
    mut spec: Spec,
    root: (PathBuf, bool),
    (user, user_namespace): (SettledUser, Option<UserNamespace>),
    order: &Order,
) -> Result<(Spec, LastSteps), Failure> {
    let process = spec.process().clone().ok_or_else(|| missing("process"))?;
    let mut linux = spec.linux().clone().ok_or_else(|| missing("linux"))?;
    let container = OfContainer {
        seccomp: linux.seccomp().clone(),
        user,
        user_namespace,
    };
    let (process, mut last) = prepare_process(process, container, order.terminal.is_some());
    last.read_only_paths = linux.readonly_paths().clone().unwrap_or_default();
    linux
        .set_seccomp(None)
        .set_resources(None)
        .set_readonly_paths(None)
        .set_cgroups_path(Some(order.cgroup.clone()));
    let (path, read_only) = root;
    let read_only = read_only
        || spec
            .root()
            .as_ref()
            .and_then(oci_spec::runtime::Root::readonly)
            == Some(true);
    let root = RootBuilder::default()
        .path(path)
        .readonly(read_only)
        .build()
        .map_err(|error| Failure::internal("prepare the root of the specification", &error))?;
    spec.set_root(Some(root))
        .set_process(Some(process))
        .set_linux(Some(linux))
        .set_hooks(None);
    Ok((spec, last))
}

/// The same for one process.
pub(crate) fn prepare_process(
    mut process: Process,
    container: OfContainer,
    terminal: bool,
) -> (Process, LastSteps) {
    let no_new_privileges = process.no_new_privileges() == Some(true);
    let last = LastSteps {
        args: process.args().clone().unwrap_or_default(),
        env: process.env().clone().unwrap_or_default(),
        capabilities: every_set(process.capabilities().as_ref()),
        no_new_privileges,
        seccomp: container.seccomp,
        read_only_paths: Vec::new(),
        uid: process.user().uid(),
        user: container.user,
        user_namespace: container.user_namespace,
    };
    process
        .set_terminal(Some(terminal))
        .set_capabilities(None)
        .set_no_new_privileges(no_new_privileges.then_some(true));
    (process, last)
}

/// libcontainer leaves a set that is not named as it is, which is full; the specification means none.
fn every_set(given: Option<&LinuxCapabilities>) -> LinuxCapabilities {
    let set =
        |set: Option<&Option<Capabilities>>| set.cloned().flatten().or(Some(Capabilities::new()));
    let mut all = LinuxCapabilities::default();
    all.set_bounding(set(given.map(LinuxCapabilities::bounding)))
        .set_effective(set(given.map(LinuxCapabilities::effective)))
        .set_permitted(set(given.map(LinuxCapabilities::permitted)))
        .set_inheritable(set(given.map(LinuxCapabilities::inheritable)))
        .set_ambient(set(given.map(LinuxCapabilities::ambient)));
    all
}

fn check_process(process: &Process) -> Result<(), Failure> {
    let command = process.args().as_ref().and_then(|args| args.first());
    if command.is_none_or(|command| command.is_empty()) {
        return Err(Failure::invalid("process.args names no command"));
    }
    let strings = process.args().iter().chain(process.env()).flatten();
    if strings.into_iter().any(|string| string.contains('\0')) {
        return Err(Failure::invalid(
            "process.args and process.env can't contain a NUL",
        ));
    }
    if !process.cwd().is_absolute() {
        return Err(Failure::invalid("process.cwd is not an absolute path"));
    }
    let label = process
        .selinux_label()
        .as_ref()
        .is_some_and(|label| !label.is_empty());
    refuse(
        label,
        "process.selinuxLabel",
        "the guest's kernel has no SELinux",
    )
}

fn check_linux(linux: &Linux) -> Result<(), Failure> {
    let has = |kind| {
        let namespaces = linux.namespaces().iter().flatten();
        namespaces
            .into_iter()
            .any(|namespace| namespace.typ() == kind)
    };
    if !has(LinuxNamespaceType::Mount) {
        return Err(Failure::invalid(
            "linux.namespaces must have a mount namespace",
        ));
    }
    refuse(
        linux.intel_rdt().is_some(),
        "linux.intelRdt",
        "the guest has no resctrl",
    )?;
    let devices = linux
        .net_devices()
        .as_ref()
        .is_some_and(|devices| !devices.is_empty());
    refuse(
        devices,
        "linux.netDevices",
        "the pod's network is the guest's",
    )?;
    let label = linux
        .mount_label()
        .as_ref()
        .is_some_and(|label| !label.is_empty());
    refuse(
        label,
        "linux.mountLabel",
        "the guest's kernel has no SELinux",
    )?;
    let notifies = linux.seccomp().as_ref().is_some_and(|seccomp| {
        let rules = seccomp.syscalls().iter().flatten();
        rules
            .into_iter()
            .any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify)
    });
    refuse(notifies, "SCMP_ACT_NOTIFY", "no listener runs in the guest")
}

fn missing(what: &str) -> Failure {
    Failure::invalid(format!("the specification has no {what}"))
}

fn refuse(set: bool, what: &str, why: &str) -> Result<(), Failure> {
    if set {
        Err(unsupported(what, why))
    } else {
        Ok(())
    }
}

fn unsupported(what: &str, why: &str) -> Failure {
    Failure::invalid(format!("{what} is not supported: {why}"))
}

#[cfg(test)]
mod tests;
