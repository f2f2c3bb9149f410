//! Makes the guest into a pod: host name, sysctls, processors, clock. On a host, only what is in namespaces of the pod's own. Blocks.

use std::{fs, path::Path};

use agent::agent::{self as wire, StartPodRequest};
use container::{IdMapping, IdMappings, NamespacesPlan};
use rustix::{
    system::{sethostname, uname},
    time::{ClockId, Timespec, clock_settime},
};

use crate::{
    arguments::{Own, Setting},
    fault::Fault,
    machine::{PROCESSORS, processors},
};

const SYSCTLS: &str = "/proc/sys";
const SHARED_MEMORY: &str = "/dev/shm";

/// The network is the guest's, and the root of a user namespace has no capability there. In a pod of its own nobody else is kept from ports
/// below 1024 and from `ping` by that.
const FOR_A_ROOT_WITHOUT_THE_NETWORK: [(&str, &str); 2] = [
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
];

/// The sysctls of an IPC namespace beside those below fs.mqueue (ipc_namespaces(7)).
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Applies a request to the machine. On a host it refuses what would change the host.
pub(crate) fn apply(request: &StartPodRequest, setting: &Setting) -> Result<(), Fault> {
    if !setting.guest {
        check_host(request, &setting.own)?;
    }
    // The clock first: the other steps leave times behind.
    if request.wall_clock_ns != 0 {
        set_clock(request.wall_clock_ns)?;
    }
    let names = setting.guest || setting.own.uts;
    if names && !request.hostname.is_empty() {
        sethostname(request.hostname.as_bytes())
            .map_err(|errno| Fault::internal_io("set the host name", &errno.into()))?;
    }
    let user = request.user_namespace.is_some();
    if user && setting.guest {
        for (name, value) in FOR_A_ROOT_WITHOUT_THE_NETWORK {
            set_sysctl(name, value)?;
        }
    }
    let in_guest = |name: &str| !(user && is_of_ipc(name));
    for (name, value) in request.sysctls.iter().filter(|(name, _)| in_guest(name)) {
        set_sysctl(name, value)?;
    }
    bring_online(request.processors)
}

/// The namespaces that a request asks for beside the guest's first ones.
pub(crate) fn namespaces(request: &StartPodRequest) -> Result<Option<NamespacesPlan>, Fault> {
    let user = request.user_namespace.as_ref().map(mappings).transpose()?;
    if user.is_none() && !request.share_pid_namespace {
        return Ok(None);
    }
    // Set in the guest's own IPC namespace otherwise, by `apply`.
    let own = |name: &str| user.is_some() && is_of_ipc(name);
    let mut ipc_sysctls = Vec::new();
    for (name, value) in request.sysctls.iter().filter(|(name, _)| own(name)) {
        ipc_sysctls.push((Path::new(SYSCTLS).join(sysctl_path(name)?), value.clone()));
    }
    Ok(Some(NamespacesPlan {
        pid: request.share_pid_namespace,
        hostname: request.hostname.clone(),
        ipc_sysctls,
        user,
    }))
}

/// What a user namespace's root is to own of a guest, which is the pod's alone.
pub(crate) fn give_to(root: (u32, u32)) -> Result<(), Fault> {
    let (uid, gid) = root;
    std::os::unix::fs::chown(SHARED_MEMORY, Some(uid), Some(gid)).map_err(|error| {
        Fault::internal_io(&format!("give {SHARED_MEMORY} to the pod's root"), &error)
    })
}

fn mappings(user: &wire::UserNamespace) -> Result<IdMappings, Fault> {
    let list = |list: &[wire::IdMapping]| {
        let list = list.iter().map(|range| IdMapping {
            container: range.container_id,
            guest: range.guest_id,
            length: range.length,
        });
        list.collect()
    };
    Ok(IdMappings::checked(list(&user.uids), list(&user.gids))?)
}

/// Those of an IPC namespace (ipc_namespaces(7)).
fn is_of_ipc(name: &str) -> bool {
    let name = name.replace('/', ".");
    ["kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn set_sysctl(name: &str, value: &str) -> Result<(), Fault> {
    let path = sysctl_path(name)?;
    fs::write(Path::new(SYSCTLS).join(path), value)
        .map_err(|error| Fault::internal_io(&format!("set sysctl {name} to {value:?}"), &error))
}

fn check_host(request: &StartPodRequest, own: &Own) -> Result<(), Fault> {
    let refuse = |what: &str| {
        Err(Fault::precondition(format!(
            "this agent runs on a host: {what} can't be set"
        )))
    };
    if request.processors != 0 || request.wall_clock_ns != 0 {
        return refuse("processors and wall_clock_ns");
    }
    let hosts = uname().nodename().to_string_lossy().into_owned();
    if !own.uts && !request.hostname.is_empty() && request.hostname != hosts {
        return refuse("hostname, without a UTS namespace of the pod's,");
    }
    match request.sysctls.keys().find(|name| !is_own(name, own)) {
        Some(name) => refuse(&format!("sysctl {name}, which is the host's,")),
        None => Ok(()),
    }
}

/// Whether the sysctl is in a namespace of the pod's. A name may have slashes for dots, as the kernel's files have.
fn is_own(name: &str, own: &Own) -> bool {
    let first = name.find(['.', '/']).unwrap_or(name.len());
    let separator = name.get(first..=first);
    let dotted = match separator {
        Some("/") => name.replace('/', "."),
        _ => name.to_owned(),
    };
    match dotted.split('.').next() {
        Some("net") => own.network.is_some(),
        _ if dotted.starts_with("fs.mqueue.") => own.ipc,
        _ => own.ipc && IPC_SYSCTLS.contains(&dotted.as_str()),
    }
}

fn set_clock(wall_clock_ns: i64) -> Result<(), Fault> {
    const NS: i64 = 1_000_000_000;
    let time = Timespec {
        tv_sec: wall_clock_ns.div_euclid(NS),
        tv_nsec: wall_clock_ns.rem_euclid(NS),
    };
    clock_settime(ClockId::Realtime, time)
        .map_err(|errno| Fault::internal_io("set the clock", &errno.into()))
}

/// Below /proc/sys. A slash in a name stands for a dot in one of its parts, as sysctl(8) has it.
fn sysctl_path(name: &str) -> Result<String, Fault> {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let parts = || name.split(['.', '/']);
    if name.is_empty() || !name.chars().all(known) || parts().any(str::is_empty) {
        return Err(Fault::invalid(format!(
            "{name:?} is no sysctl; one looks like net.ipv4.ip_forward"
        )));
    }
    let swap = |c: char| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = name.chars().map(swap).collect();
    Ok(path)
}

/// Brings present processors online, lowest numbers first, until `wanted` are.
fn bring_online(wanted: u32) -> Result<(), Fault> {
    let (present, online) = (processors("present"), processors("online"));
    let missing = usize::try_from(wanted)
        .unwrap_or(usize::MAX)
        .saturating_sub(online.len());
    let offline: Vec<_> = present
        .iter()
        .filter(|number| !online.contains(number))
        .collect();
    if missing > offline.len() {
        let count = present.len();
        return Err(Fault::precondition(format!(
            "{wanted} processors can't be online of {count}"
        )));
    }
    for number in offline.into_iter().take(missing) {
        let path = Path::new(PROCESSORS).join(format!("cpu{number}/online"));
        fs::write(path, "1").map_err(|error| {
            Fault::internal_io(&format!("bring processor {number} online"), &error)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
