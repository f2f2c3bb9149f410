//! Runs a command in a test host; a host that dies is replaced once.
//!
//! A host can die of an emulator's fault or an overloaded machine, which says nothing about the command; so the same
//! command runs once more in a fresh host, and that is said aloud and counted. A command that failed is never run again.

use std::path::{Path, PathBuf};

use crate::host::{self, End};
use crate::{Options, Outcome, Result, TestbedError, kernel, places};

/// Hosts that are tried for one command.
const HOSTS: u32 = 2;

/// Runs the command of `options` in a test host and waits for its end. Its output goes to our own standard output.
/// Waits while as many test hosts as there are places run on this machine.
pub fn run(options: &Options) -> Result<Outcome> {
    if options.command.is_empty() {
        return Err(TestbedError::NoCommand);
    }
    let init = find_init(options.init.as_deref())?;
    let kernel = kernel::find_or_fetch()?;
    let place = places::take_place()?;

    let mut dead = 0;
    loop {
        let outcome = match host::run(options, &kernel, &init, &place)? {
            End::Exited(code) => Outcome::Exited(code),
            End::TimedOut => Outcome::TimedOut,
            End::Died { reason, console } => {
                dead += 1;
                eprintln!("\ntestbed: THE TEST HOST DIED: {reason}");
                eprintln!("testbed: last lines of its log:\n{console}\n");
                if dead < HOSTS {
                    eprintln!("testbed: running the same command once more, in a fresh test host");
                    continue;
                }
                Outcome::HostDied { reason, console }
            }
        };
        if dead > 0 {
            eprintln!("testbed: test hosts that died during this run: {dead}");
        }
        return Ok(outcome);
    }
}

/// Fetches the kernel that apt has now, so that later runs start at once. Gives back its release.
pub fn prepare() -> Result<String> {
    Ok(kernel::refresh()?.release)
}

/// The static program that is PID 1: where the caller says, where `COFFERDAM_TESTBED_INIT` says, or where a build puts it,
/// seen from the caller's own place in the target folder.
fn find_init(said: Option<&Path>) -> Result<PathBuf> {
    let variable = std::env::var_os("COFFERDAM_TESTBED_INIT").map(PathBuf::from);
    if let Some(path) = said.map(Path::to_owned).or(variable) {
        return match path.is_file() {
            true => Ok(path),
            false => Err(TestbedError::NoInit {
                looked: path.display().to_string(),
            }),
        };
    }
    let own = std::env::current_exe().unwrap_or_default();
    let built = |folder: &Path| folder.join("x86_64-unknown-linux-gnu/release/testbed-init");
    let found = own
        .ancestors()
        .skip(1)
        .map(built)
        .find(|path| path.is_file());
    found.ok_or_else(|| TestbedError::NoInit {
        looked: format!("folders above {}", own.display()),
    })
}
