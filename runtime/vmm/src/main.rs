//! cofferdam-vmm, the monitor: one process for one machine. `vm-client` starts it with a socket as standard input; `monitor` is
//! the contract. Below: `machine` and `virtio`.
//!
//! ```text
//! launch   the message and its descriptors ─► jail ─► assemble ─► processors, worker threads: each under its filter, at the gate
//!                                                                      │ main thread's filter, gate opens
//!                                                                 control: requests, the end ─► Ended on every socket, exit status
//! ```

mod launch;

mod jail;

mod assemble;
mod command_line;
mod ports;
mod processor;
mod threads;
mod vfio;
mod worker;

mod control;

mod bell;
mod last_words;
mod limits;
mod poll;

use std::{error::Error, io::Write, os::fd::OwnedFd, process::ExitCode, time::Instant};

use monitor::{Reply, Running};

use crate::{
    control::Control,
    jail::{descriptors, filter, filters::Kind},
    threads::Gate,
};

const HELP: &str = "\
cofferdam-vmm: runs one virtual machine for cofferdam.

It is started by cofferdam, with a launch socket as its standard input, and is of no use by itself: see `cofferdam run --help`.

  --help     this text
  --version  the version
";

/// Failures before there is a machine: the command line was wrong, or the machine could not be made.
const USAGE: u8 = 2;
const NO_MACHINE: u8 = 1;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().map(std::ffi::OsStr::to_str) {
        None => run(),
        Some(Some("--help" | "-h")) => say(HELP),
        Some(Some("--version" | "-V")) => {
            say(concat!("cofferdam-vmm ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Some(_) => complain("cofferdam-vmm takes no arguments: see --help", USAGE),
    }
}

fn run() -> ExitCode {
    let socket = descriptors::close_inherited()
        .map_err(Box::from)
        .and_then(|()| launch::socket().map_err(Box::<dyn Error>::from));
    let socket = match socket {
        Ok(socket) => socket,
        Err(error) => return complain(&last_words::chain(&*error), USAGE),
    };
    match start(&socket) {
        Ok(control) => ExitCode::from(control.run().exit_code()),
        Err(error) => {
            let reason = control::bounded(last_words::chain(&*error));
            // A launcher that is gone does not want to know.
            drop(monitor::send(&socket, &Reply::Refused { reason }, &[]));
            ExitCode::from(NO_MACHINE)
        }
    }
}

/// From the message to a machine that runs.
fn start(socket: &OwnedFd) -> Result<Control, Box<dyn Error>> {
    let (launch, parcel) = launch::receive(socket)?;
    let clock = Clock {
        started_ns: launch.started_ns,
    };
    let message_us = clock.now_us();
    vfio::prepare(&launch, &parcel)?;
    jail::shut(&launch)?;
    let jailed_us = clock.now_us();

    let gate = Gate::default();
    let (last_words, ear) = last_words::channel()?;
    let parts = parcel.unpack(&launch)?;
    let (mut machine, listener) = assemble::assemble(&launch, parts, &gate, &last_words)?;
    let assembled_us = clock.now_us();

    machine.started = Instant::now();
    let launcher = socket.try_clone()?;
    let control = Control::new(machine, ear, launcher, launch.lifetime, listener)?;
    filter::install(&filter::without_clone3()?)?;
    let kind = match launch.later_functions {
        0 => Kind::Control,
        _ => Kind::ControlWithFunctions,
    };
    filter::install(&kind.program()?)?;
    gate.open();
    let running_us = clock.now_us();
    control.tell_launcher(&Reply::Running(Running {
        message_us,
        jailed_us,
        assembled_us,
        running_us,
    }));
    Ok(control)
}

/// Time since the launcher started this process.
#[derive(Debug, Clone, Copy)]
struct Clock {
    started_ns: u64,
}

impl Clock {
    fn now_us(self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let now_ns = seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default();
        now_ns.saturating_sub(self.started_ns) / 1000
    }
}

fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(NO_MACHINE),
    }
}

/// Complains on standard error, which is all there is before the launch socket is known.
fn complain(text: &str, status: u8) -> ExitCode {
    // Where nobody can be told, the status has to do.
    drop(writeln!(std::io::stderr(), "cofferdam-vmm: {text}"));
    ExitCode::from(status)
}
