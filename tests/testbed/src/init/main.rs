//! PID 1 of a test host: makes a machine out of a kernel, runs one command, says how it ended, powers off.
//!
//! It is one static program without helpers, because starting a process is what is slow under emulation. What it says on
//! its standard error goes to the kernel's console, which the other side shows when the host ends without a result.

mod cgroup;
mod command;
mod modules;
mod mounts;
mod network;
mod nodes;
mod stream;
mod terminal;

use std::fs;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::system::RebootCommand;
use testbed::control;

use command::Ended;

/// Open files that a command may have: what a node's container runtime gives.
const OPEN_FILES: u64 = 1 << 20;

fn main() {
    if let Err(error) = run() {
        eprintln!("testbed-init: cannot run the command: {error:#}");
    }
    rustix::fs::sync();
    // PID 1 must not end: the kernel would panic, and that log would look like another fault.
    if let Err(error) = rustix::system::reboot(RebootCommand::PowerOff) {
        eprintln!("testbed-init: cannot power off: {error}");
    }
}

fn run() -> Result<()> {
    mounts::kernel_file_systems()?;
    let began = uptime();
    modules::load_all()?;
    mounts::root()?;
    mounts::shares()?;
    mounts::for_programs()?;
    nodes::make()?;
    cgroup::delegate()?;
    network::raise_loopback()?;
    raise_limits()?;
    network::name_host("testbed")?;
    put(control::READY, &format!("{began} {}\n", uptime()))?;
    match command::run()? {
        Ended::OnTerminal { code } => put(control::EXIT, &format!("{code} 0\n")),
        Ended::WithOutput { code, bytes } => {
            put(control::EXIT, &format!("{code} {bytes}\n"))?;
            // The other side ends this machine as soon as it has that many bytes; a power-off might lose the last.
            loop {
                std::thread::park();
            }
        }
    }
}

fn raise_limits() -> Result<()> {
    let limit = Rlimit {
        current: Some(OPEN_FILES),
        maximum: Some(OPEN_FILES),
    };
    setrlimit(Resource::Nofile, limit).context("raise limit of open files")?;
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Memlock, unlimited).context("raise limit of locked memory")
}

/// Writes a control file: it is renamed into place, so that the other side never sees half of it.
fn put(name: &str, content: &str) -> Result<()> {
    let path = format!("{}/{name}", control::CONTROL_MOUNT);
    let fresh = format!("{path}.new");
    fs::write(&fresh, content).with_context(|| format!("write {fresh}"))?;
    fs::rename(&fresh, &path).with_context(|| format!("rename {fresh}"))
}

/// Seconds since the kernel started, as `/proc/uptime` says them.
fn uptime() -> String {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
