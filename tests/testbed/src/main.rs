//! `testbed`: runs commands in the nested test host, from the shell.

mod arguments;

use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use arguments::{Request, parse};
use testbed::{Outcome, hardware};

/// As timeout(1) says it.
const TIMED_OUT: u8 = 124;
const HOST_DIED: u8 = 125;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let request = match parse(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(wrong) => {
            eprintln!("testbed: {wrong}; see testbed --help");
            return ExitCode::from(USAGE);
        }
    };
    match fulfil(request) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::from(HOST_DIED)
        }
    }
}

fn fulfil(request: Request) -> anyhow::Result<u8> {
    match request {
        Request::Help => io::stdout().write_all(arguments::HELP.as_bytes())?,
        Request::Prepare => {
            let release = testbed::prepare()?;
            writeln!(io::stdout(), "the test host runs Linux {release}")?;
        }
        Request::Run(options) => return run(&options),
        Request::Auto(options) => match hardware::why_no_guests() {
            None => return Err(run_here(&options.command)),
            Some(reason) => {
                eprintln!("{reason}: using the nested test host");
                return run(&options);
            }
        },
    }
    Ok(0)
}

fn run(options: &testbed::Options) -> anyhow::Result<u8> {
    if options.interactive && !io::stdin().is_terminal() {
        anyhow::bail!("a shell needs a terminal: use `testbed run -- CMD...` without one");
    }
    Ok(match testbed::run(options)? {
        Outcome::Exited(code) => code,
        Outcome::TimedOut => {
            eprintln!(
                "testbed: still running after {} s: killed",
                options.timeout.as_secs()
            );
            TIMED_OUT
        }
        Outcome::HostDied { .. } => HOST_DIED,
    })
}

/// Becomes the command; only comes back if that fails.
fn run_here(command: &[String]) -> anyhow::Error {
    let Some((program, arguments)) = command.split_first() else {
        return anyhow::anyhow!("no command to run");
    };
    let error = Command::new(program).args(arguments).exec();
    anyhow::Error::new(error).context(format!("run {program}"))
}
