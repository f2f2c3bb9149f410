//! Makes the guest into a pod: host name, sysctls, processors, clock. Blocks.

use std::{fs, io, path::Path};

use agent::agent::StartPodRequest;
use rustix::{
    system::sethostname,
    time::{ClockId, Timespec, clock_settime},
};

use crate::{
    fault::{Fault, FaultKind},
    machine::{PROCESSORS, processors},
};

/// Applies a request to the machine. On a host it refuses what would change the host.
pub(crate) fn apply(request: &StartPodRequest, guest: bool) -> Result<(), Fault> {
    let plain = request.hostname.is_empty()
        && request.sysctls.is_empty()
        && request.processors == 0
        && request.wall_clock_ns == 0;
    if !guest && !plain {
        return Err(Fault::precondition(
            "this agent runs on a host: hostname, sysctls, processors and wall_clock_ns can't be set",
        ));
    }
    // The clock first: the other steps leave times behind.
    if request.wall_clock_ns != 0 {
        set_clock(request.wall_clock_ns)?;
    }
    if !request.hostname.is_empty() {
        sethostname(request.hostname.as_bytes())
            .map_err(|errno| failed("set the host name", &errno.into()))?;
    }
    for (name, value) in &request.sysctls {
        let path = sysctl_path(name)?;
        fs::write(Path::new("/proc/sys").join(path), value)
            .map_err(|error| failed(&format!("set sysctl {name} to {value:?}"), &error))?;
    }
    bring_online(request.processors)
}

fn set_clock(wall_clock_ns: i64) -> Result<(), Fault> {
    const NS: i64 = 1_000_000_000;
    let time = Timespec {
        tv_sec: wall_clock_ns.div_euclid(NS),
        tv_nsec: wall_clock_ns.rem_euclid(NS),
    };
    clock_settime(ClockId::Realtime, time).map_err(|errno| failed("set the clock", &errno.into()))
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
        fs::write(path, "1")
            .map_err(|error| failed(&format!("bring processor {number} online"), &error))?;
    }
    Ok(())
}

fn failed(attempt: &str, error: &io::Error) -> Fault {
    Fault::new(FaultKind::Internal, format!("{attempt}: {error}"))
}

#[cfg(test)]
mod tests;
