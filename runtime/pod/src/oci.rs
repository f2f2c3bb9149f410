//! Turns a `ContainerSpec` into an OCI runtime specification, the form that the agent takes. Pure: values in, values out.
//! Neighbours: `seccomp` beside it, `pod` above.

mod seccomp;

use model::{ContainerSpec, Limits};
use oci_spec::{
    OciSpecError,
    runtime::{
        Capabilities, Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxMemoryBuilder,
        LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResources,
        LinuxResourcesBuilder, Mount, MountBuilder, PosixRlimitBuilder, PosixRlimitType, Process,
        ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder, get_default_maskedpaths,
        get_default_readonly_paths,
    },
};

use crate::plan::ExecPlan;

/// Version of the OCI runtime specification that the result follows.
const OCI_VERSION: &str = "1.2.0";

/// RLIMIT_NOFILE of a container, soft and hard: what containerd under systemd gives.
const OPEN_FILES: u64 = 1_048_576;

/// What containerd gives a container that asks for nothing, without CAP_MKNOD: in the guest a device node is a way to the pod's
/// own disks.
const CAPABILITIES: [Capability; 13] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// PATH of a container whose image does not set one: what runc and containerd use.
pub(crate) const DEFAULT_PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The specification of a container in a guest whose host name is `hostname`.
///
/// # Errors
/// When a field that the specification demands is missing.
pub(crate) fn specification(
    container: &ContainerSpec,
    hostname: &str,
) -> Result<Spec, OciSpecError> {
    let linux = LinuxBuilder::default()
        .namespaces(namespaces()?)
        .resources(resources(container.limits)?)
        .seccomp(seccomp::runtime_default()?)
        .masked_paths(get_default_maskedpaths())
        .readonly_paths(get_default_readonly_paths())
        .build()?;
    let root = RootBuilder::default()
        .path("rootfs")
        .readonly(container.read_only_root)
        .build()?;
    SpecBuilder::default()
        .version(OCI_VERSION)
        .process(process(container, hostname)?)
        .root(root)
        .hostname(hostname)
        .mounts(mounts()?)
        .linux(linux)
        .build()
}

/// The process of an exec in a container: the container's own but for what it runs and its terminal. Its host name's variable is in the
/// container's environment already.
///
/// # Errors
/// When a field that the specification demands is missing.
pub(crate) fn exec_process(
    container: &ContainerSpec,
    plan: &ExecPlan,
) -> Result<Process, OciSpecError> {
    let spec = ContainerSpec {
        args: plan.args.clone(),
        stdin: plan.stdin,
        terminal: plan.terminal,
        ..container.clone()
    };
    process(&spec, "")
}

fn process(container: &ContainerSpec, hostname: &str) -> Result<Process, OciSpecError> {
    let capabilities: Capabilities = CAPABILITIES.into_iter().collect();
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()?;
    let open_files = PosixRlimitBuilder::default()
        .typ(PosixRlimitType::RlimitNofile)
        .soft(OPEN_FILES)
        .hard(OPEN_FILES)
        .build()?;
    let mut user = UserBuilder::default().uid(0_u32).gid(0_u32);
    if !container.user.is_empty() {
        user = user.username(container.user.clone());
    }
    ProcessBuilder::default()
        .terminal(container.terminal.is_some())
        .user(user.build()?)
        .args(container.args.clone())
        .env(environment(container, hostname))
        .cwd(container.cwd.as_str())
        .capabilities(capabilities)
        .rlimits([open_files])
        .no_new_privileges(container.no_new_privileges)
        .build()
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

/// No network namespace: the guest's is the pod's.
fn namespaces() -> Result<Vec<oci_spec::runtime::LinuxNamespace>, OciSpecError> {
    [
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Cgroup,
    ]
    .into_iter()
    .map(|typ| LinuxNamespaceBuilder::default().typ(typ).build())
    .collect()
}

fn resources(limits: Limits) -> Result<LinuxResources, OciSpecError> {
    let mut resources = LinuxResourcesBuilder::default();
    if let Some(bytes) = limits.memory_bytes {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        resources = resources.memory(LinuxMemoryBuilder::default().limit(bytes).build()?);
    }
    if let Some(pids) = limits.pids {
        resources = resources.pids(LinuxPidsBuilder::default().limit(i64::from(pids)).build()?);
    }
    resources.build()
}

fn mounts() -> Result<Vec<Mount>, OciSpecError> {
    let table: [(&str, &str, &str, &[&str]); 7] = [
        ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        (
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        (
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        (
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        (
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        (
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ];
    table
        .into_iter()
        .map(|(destination, typ, source, options)| {
            MountBuilder::default()
                .destination(destination)
                .typ(typ)
                .source(source)
                .options(
                    options
                        .iter()
                        .map(|option| (*option).to_owned())
                        .collect::<Vec<_>>(),
                )
                .build()
        })
        .collect()
}

#[cfg(test)]
mod tests;
