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
    /// On a host: what the pod does not share with it.
    pub(crate) own: Own,
    /// It begins when a byte has come on its standard input, and never without: whoever starts it may have something to do first.
    pub(crate) waits: bool,
}

/// What a pod on a host has of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// Mounts: what the agent mounts is not seen on the host, and goes with it.
    pub(crate) mounts: bool,
    /// System V IPC, POSIX queues, /dev/shm.
    pub(crate) ipc: bool,
    /// The host name.
    pub(crate) uts: bool,
    /// The network namespace that is mounted there.
    pub(crate) network: Option<PathBuf>,
    /// A folder for the writable layers of its containers; without one they are in memory.
    pub(crate) layers: Option<PathBuf>,
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
    #[error("--own {word} is unknown: mounts, ipc and uts are; {USAGE}")]
    UnknownNamespace { word: String },
    #[error("--own ipc needs --own mounts, for /dev/shm; {USAGE}")]
    IpcWithoutMounts,
    #[error("--no-init needs --listen and --stdio; {USAGE}")]
    NoAddress,
    #[error("without --no-init this program is the first process of a guest; {USAGE}")]
    NotInit,
}

const USAGE: &str = "usage: cofferdam-agent --no-init --listen unix:PATH --stdio unix:PATH [--state FOLDER] [--cgroup /PATH] \
                     [--own mounts,ipc,uts] [--network PATH] [--layers FOLDER] [--wait]";

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
        own: Own::default(),
        waits: false,
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
            "--own" => setting.own.add(&value()?)?,
            "--network" => setting.own.network = Some(value()?.into()),
            "--layers" => setting.own.layers = Some(value()?.into()),
            "--wait" => setting.waits = true,
            _ => return Err(ArgumentError::Unknown { argument }),
        }
    }
    if setting.own.ipc && !setting.own.mounts {
        return Err(ArgumentError::IpcWithoutMounts);
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

impl Own {
    fn add(&mut self, words: &str) -> Result<(), ArgumentError> {
        for word in words.split(',') {
            match word {
                "mounts" => self.mounts = true,
                "ipc" => self.ipc = true,
                "uts" => self.uts = true,
                _ => {
                    let word = word.to_owned();
                    return Err(ArgumentError::UnknownNamespace { word });
                }
            }
        }
        Ok(())
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
