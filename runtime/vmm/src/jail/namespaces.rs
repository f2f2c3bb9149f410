//! Namespaces of the monitor's own. Main function: [`enter`]. The PID namespace is the launcher's to make (it is for children), the
//! user namespace comes last, with `privileges`.

use nix::sched::{CloneFlags, unshare};

use super::{AS_ROOT, JailError, refused};

/// Leaves the host's mounts, network, System V IPC, host name and cgroup view, and its terminal.
pub(super) fn enter() -> Result<(), JailError> {
    let pid = rustix::process::getpid().as_raw_pid();
    if pid != 1 {
        return Err(JailError::NotFirst { pid });
    }
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    let remedy = "the kernel needs mount, network, IPC, UTS and cgroup namespaces, and the monitor has to be started as root";
    unshare(namespaces).map_err(refused("leave the host's namespaces", remedy))?;
    rustix::process::setsid().map_err(refused("leave the launcher's session", AS_ROOT))?;
    Ok(())
}
