//! Runs the command, reaps whatever is left to PID 1 meanwhile, and shows that the host lives.

use std::fs;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};
use testbed::{control, deadlines};

use crate::stream::Stream;
use crate::terminal;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What shells say for a command that can't be started.
const NOT_STARTED: u8 = 127;
/// What shells add to a signal's number.
const SIGNAL_BASE: i32 = 128;

/// How the command ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It had a terminal, which is drained.
    OnTerminal { code: u8 },
    /// Its output is on its way, and may arrive later.
    WithOutput { code: u8, bytes: u64 },
}

/// What to run, as the other side said it.
struct Order {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: String,
}

/// Runs the command to its end.
pub(crate) fn run() -> Result<Ended> {
    let order = Order::read()?;
    let (ended, heart) = channel::<()>();
    let beating = thread::spawn(move || beat(&heart));
    let result = match read(control::WINDOW) {
        Ok(window) => run_on_terminal(&order, &window),
        Err(_) => run_with_output(&order),
    };
    drop(ended);
    // A heart that broke has said so by its silence.
    beating.join().ok();
    result
}

fn run_on_terminal(order: &Order, window: &str) -> Result<Ended> {
    let terminal = terminal::open(window)?;
    // An interactive shell wants a session with a controlling terminal.
    let mut command = order.command("setsid");
    command
        .args(["--ctty", "--wait", &order.program])
        .args(&order.arguments)
        .env("TERM", "xterm");
    command
        .stdin(terminal.try_clone()?)
        .stdout(terminal.try_clone()?)
        .stderr(terminal.try_clone()?);
    let child = command.spawn().context("start setsid")?;
    let code = wait_for(&child)?;
    terminal::drain(&terminal);
    Ok(Ended::OnTerminal { code })
}

fn run_with_output(order: &Order) -> Result<Ended> {
    use std::os::unix::process::CommandExt;
    let (stream, writer) = Stream::open()?;
    let mut command = order.command(&order.program);
    command.args(&order.arguments).env("TERM", "dumb");
    command
        .stdin(std::process::Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer.try_clone()?);
    // A group of its own: what it sends to its group must not reach PID 1.
    command.process_group(0);
    let started = command.spawn();
    // Else the pipe would never end: this process would hold it, too.
    drop(command);
    let code = match started {
        Ok(child) => {
            drop(writer);
            wait_for(&child)?
        }
        Err(error) => {
            use std::io::Write;
            let mut writer = writer;
            writeln!(writer, "testbed: start {}: {error}", order.program).context("say why")?;
            NOT_STARTED
        }
    };
    Ok(Ended::WithOutput {
        code,
        bytes: stream.finish()?,
    })
}

impl Order {
    fn read() -> Result<Order> {
        let words = control::split(&read(control::COMMAND)?);
        let Some((program, arguments)) = words.split_first() else {
            bail!("no command was given")
        };
        let pairs = control::split(&read(control::ENVIRONMENT)?);
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        Ok(Order {
            program: program.clone(),
            arguments: arguments.to_vec(),
            environment: pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            directory: read(control::DIRECTORY)?,
        })
    }

    /// `program` in the ordered environment and place, without arguments.
    fn command(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .env(control::MARK, "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn read(name: &str) -> Result<String> {
    let path = format!("{}/{name}", control::CONTROL_MOUNT);
    fs::read_to_string(&path).with_context(|| format!("read {path}"))
}

/// Shows that this host lives until the other end of the channel is dropped.
fn beat(ended: &Receiver<()>) {
    let mut count = 0_u64;
    while ended.recv_timeout(deadlines::HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
        count += 1;
        if let Err(error) = crate::put(control::HEARTBEAT, &format!("{count}\n")) {
            eprintln!("testbed-init: heartbeat: {error:#}");
        }
    }
}

/// Waits for the command; every orphan is reaped on the way, so that no zombie looks like something left behind.
fn wait_for(command: &Child) -> Result<u8> {
    let pid = i32::try_from(command.id()).context("pid")?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended.as_raw_pid() == pid => return Ok(exit_code(status)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the command"),
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let by_signal = || {
        status
            .terminating_signal()
            .map(|signal| SIGNAL_BASE + signal)
    };
    let code = status
        .exit_status()
        .or_else(by_signal)
        .unwrap_or(i32::from(NOT_STARTED));
    u8::try_from(code).unwrap_or(u8::MAX)
}
