//! cofferdam-agent: PID 1 of a guest, or on a host the agent of a pod of the `host` kind. `main` decides which of its lives this
//! process has; `early` makes the machine usable, `host` the process on a host; `serve` answers the host, and `container::launcher_main`
//! starts a container.

mod apparmor;
mod arguments;
mod container_disks;
mod containers;
mod deadlines;
mod destination;
mod devices;
mod early;
mod events;
mod fault;
mod holdings;
mod host;
mod host_mounts;
mod ids;
mod image_files;
mod layer;
mod machine;
mod network;
mod pod;
mod pod_files;
mod process;
mod reap;
mod root_fs;
mod rpc;
mod scratch;
mod serve;
mod start;
mod stdio;
mod sys;
mod usage;
mod volumes;

use std::{env, fs::OpenOptions, io::Write, panic, process::ExitCode};

use arguments::Life;

fn main() -> ExitCode {
    let life = match arguments::parse(env::args().skip(1), std::process::id()) {
        Ok(life) => life,
        Err(error) => return fail(&error.to_string()),
    };
    panic::set_hook(Box::new(|panic| say(&format!("panicked: {panic}"))));
    let ended = match life {
        Life::Launcher => return container::launcher_main(),
        Life::Pause => return container::pause_main(),
        Life::PauseInit => return container::init_main(),
        Life::Version => return print(&format!("cofferdam-agent {}\n", env!("CARGO_PKG_VERSION"))),
        Life::Guest(setting) => match early::prepare_guest() {
            Ok(()) => serve::serve(setting, None),
            Err(error) => return fail(&chain(&error)),
        },
        Life::Process(setting) => match host::prepare(&setting) {
            Ok(host_mounts) => serve::serve(setting, host_mounts),
            Err(error) => return fail(&chain(&error)),
        },
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&chain(&error)),
    }
}

/// As PID 1 the return ends in a kernel panic, whose message follows this line on the console.
fn fail(reason: &str) -> ExitCode {
    say(reason);
    ExitCode::FAILURE
}

/// One line for people, on the console of a guest and on standard error of a process. There is no one to tell when that fails.
fn say(line: &str) {
    let line = format!("cofferdam-agent: {}\n", line.escape_debug());
    let console = (std::process::id() == 1)
        .then(|| OpenOptions::new().write(true).open("/dev/console").ok())
        .flatten();
    let written = match console {
        Some(mut console) => console.write_all(line.as_bytes()),
        None => std::io::stderr().write_all(line.as_bytes()),
    };
    drop(written);
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}
