//! The command line, by hand: four words do not pay for a parser in every guest.

use std::path::PathBuf;

use agent::{RPC_PORT, STDIO_PORT};
use container::{INIT_ARGUMENT, LAUNCHER_ARGUMENT, PAUSE_ARGUMENT};
use thiserror::Error;

/// Which life this process has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// PID 1 of a guest.
    Guest(Setting),
    /// An ordinary process on a host.
    Process(Setting),
    /// Starts one container or process and ends.
    Launcher,
    /// Makes a PID namespace and ends.
    Pause,
    /// The first process of a PID namespace.
    PauseInit,
    /// Prints its version and ends.
    Version,
}

/// Where the agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The machine is the pod's alone: its host name, clock and power are the agent's to change.
    pub(crate) guest: bool,
    pub(crate) rpc: Address,
    pub(crate) stdio: Address,
    /// Folder for the containers' folders.
    pub(crate) state: PathBuf,
    /// The containers' cgroups are below it; from the cgroup mount's root, beginning with a slash.
    pub(crate) cgroup: PathBuf,
}

/// What to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Vsock { port: u32 },
    Unix { path: PathBuf },
}

/// A command line that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ArgumentError {
    #[error("{argument} is unknown; {USAGE}")]
    Unknown { argument: String },
    #[error("{option} needs a value; {USAGE}")]
    NoValue { option: String },
    #[error("{value} is not unix:PATH; {USAGE}")]
    BadAddress { value: String },
    #[error("--no-init needs --listen and --stdio; {USAGE}")]
    NoAddress,
    #[error("without --no-init this program is the first process of a guest; {USAGE}")]
    NotInit,
}

const USAGE: &str = "usage: cofferdam-agent --no-init --listen unix:PATH --stdio unix:PATH [--state FOLDER] [--cgroup /PATH]";

/// Reads the arguments after the program's name. The kernel gives PID 1 those words of its command line that it does not know, so a
/// guest's agent takes none.
pub(crate) fn parse(
    arguments: impl Iterator<Item = String>,
    pid: u32,
) -> Result<Life, ArgumentError> {
    let mut setting = Setting {
        guest: true,
        rpc: Address::Vsock { port: RPC_PORT },
        stdio: Address::Vsock { port: STDIO_PORT },
        state: "/run/cofferdam".into(),
        cgroup: "/cofferdam".into(),
    };
    let mut arguments = arguments.peekable();
    if pid == 1 {
        // A PID namespace begins with 1, too. The guest's kernel command line is the host's, which does not say this word.
        return match arguments.peek().map(String::as_str) {
            Some(INIT_ARGUMENT) => Ok(Life::PauseInit),
            _ => Ok(Life::Guest(setting)),
        };
    }
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments.next().ok_or_else(|| ArgumentError::NoValue {
                option: argument.clone(),
            })
        };
        match argument.as_str() {
            LAUNCHER_ARGUMENT => return Ok(Life::Launcher),
            PAUSE_ARGUMENT => return Ok(Life::Pause),
            INIT_ARGUMENT => return Ok(Life::PauseInit),
            "--version" => return Ok(Life::Version),
            "--no-init" => setting.guest = false,
            "--listen" => setting.rpc = unix(value()?)?,
            "--stdio" => setting.stdio = unix(value()?)?,
            "--state" => setting.state = value()?.into(),
            "--cgroup" => setting.cgroup = value()?.into(),
            _ => return Err(ArgumentError::Unknown { argument }),
        }
    }
    let addressed = [&setting.rpc, &setting.stdio]
        .iter()
        .all(|address| matches!(address, Address::Unix { .. }));
    match (setting.guest, addressed) {
        (true, _) => Err(ArgumentError::NotInit),
        (false, false) => Err(ArgumentError::NoAddress),
        (false, true) => Ok(Life::Process(setting)),
    }
}

fn unix(value: String) -> Result<Address, ArgumentError> {
    match value.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Ok(Address::Unix { path: path.into() }),
        _ => Err(ArgumentError::BadAddress { value }),
    }
}

#[cfg(test)]
mod tests;
