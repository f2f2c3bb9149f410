//! The file systems that every container has: its processes, devices, queues and cgroups. Main function: [`mounts`].

use model::{ContainerSpec, NamespaceOf};
use oci_spec::{
    OciSpecError,
    runtime::{Mount, MountBuilder},
};

/// The group of terminals in every Linux distribution.
const TTY_GROUP: u32 = 5;

/// The list, in an order in which each can be made after those before it.
pub(super) fn mounts(container: &ContainerSpec) -> Result<Vec<Mount>, OciSpecError> {
    let mut all = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?,
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        )?,
        terminals(container)?,
    ];
    let in_user_namespace = container.namespaces.user.is_some();
    all.extend(ipc(container.namespaces.ipc, in_user_namespace)?);
    all.extend(kernel(container)?);
    Ok(all)
}

/// In a user namespace the group has to be one of its own.
fn terminals(container: &ContainerSpec) -> Result<Mount, OciSpecError> {
    let options = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    let user = container.namespaces.user;
    let group =
        user.is_none_or(|user| (user.gids.container..user.gids.length).contains(&TTY_GROUP));
    let count = if group {
        options.len()
    } else {
        options.len() - 1
    };
    mount(
        "/dev/pts",
        "devpts",
        "devpts",
        options.get(..count).unwrap_or(&options),
    )
}

/// The pod's are the guest's own mounts: one /dev/shm for all its containers, and its queues. Those of a pod with a user namespace are of an
/// IPC namespace of its own.
fn ipc(of: NamespaceOf, in_user_namespace: bool) -> Result<[Mount; 2], OciSpecError> {
    const BIND: [&str; 4] = ["bind", "nosuid", "noexec", "nodev"];
    let memory = match of {
        NamespaceOf::Container => {
            let options = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
            mount("/dev/shm", "tmpfs", "shm", &options)
        }
        NamespaceOf::Pod | NamespaceOf::Node => mount("/dev/shm", "bind", "/dev/shm", &BIND),
    };
    let queues = if of == NamespaceOf::Container || in_user_namespace {
        let options = ["nosuid", "noexec", "nodev"];
        mount("/dev/mqueue", "mqueue", "mqueue", &options)
    } else {
        mount("/dev/mqueue", "bind", "/dev/mqueue", &BIND)
    };
    Ok([memory?, queues?])
}

/// A sysfs shows a network namespace, so a user namespace may mount one only where it owns the network, which is the pod's: it gets the
/// guest's (sysfs(5); kernel's fs/sysfs/mount.c). The cgroups are mounted over what that one has there; the node's are bound, for one more mount of them
/// from the first cgroup namespace would take the node's own mount options away (kernel's kernel/cgroup/cgroup.c, apply_cgroup_root_flags).
fn kernel(container: &ContainerSpec) -> Result<[Mount; 2], OciSpecError> {
    let read_only = !container.security.privileged;
    let with = |options: &[&'static str]| {
        let mut options = options.to_vec();
        options.extend(read_only.then_some("ro"));
        options
    };
    let plain = with(&["nosuid", "noexec", "nodev"]);
    let sys = if container.namespaces.user.is_some() {
        let bind = with(&["rbind", "nosuid", "noexec", "nodev"]);
        mount("/sys", "bind", "/sys", &bind)?
    } else {
        mount("/sys", "sysfs", "sysfs", &plain)?
    };
    let cgroup = if container.namespaces.cgroup == NamespaceOf::Node {
        let bind = with(&["rbind", "nosuid", "noexec", "nodev", "relatime"]);
        mount("/sys/fs/cgroup", "bind", "/sys/fs/cgroup", &bind)?
    } else {
        let cgroup = with(&["nosuid", "noexec", "nodev", "relatime"]);
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &cgroup)?
    };
    Ok([sys, cgroup])
}

fn mount(
    destination: &str,
    typ: &str,
    source: &str,
    options: &[&str],
) -> Result<Mount, OciSpecError> {
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
}
