//! Runs the command on the host's terminal, reaps whatever is left to PID 1 meanwhile, and shows that the host lives.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, Winsize, tcdrain, tcgetattr, tcsetattr, tcsetwinsize,
};
use testbed::{control, deadlines};

/// The virtio console that is the other side's standard output.
const TERMINAL: &str = "/dev/hvc0";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What shells say for a command that can't be started.
const NOT_STARTED: u8 = 127;
/// What shells add to a signal's number.
const SIGNAL_BASE: i32 = 128;

/// The exit code of the command.
pub(crate) fn run() -> Result<u8> {
    let words = control::split(&read(control::COMMAND)?);
    let [program, arguments @ ..] = words.as_slice() else {
        bail!("no command was given")
    };
    let window = read(control::WINDOW).ok();
    let terminal = open_terminal(window.as_deref())?;

    let mut command = match &window {
        // An interactive shell wants a session with a controlling terminal.
        Some(_) => {
            let mut command = Command::new("setsid");
            command.args(["--ctty", "--wait", program]);
            command
        }
        // A group of its own: what it sends to its group must not reach PID 1.
        None => {
            let mut command = Command::new(program);
            command.process_group(0);
            command
        }
    };
    let stdin = if window.is_some() {
        Stdio::from(terminal.try_clone()?)
    } else {
        Stdio::null()
    };
    command
        .args(arguments)
        .current_dir(read(control::DIRECTORY)?)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env("TERM", if window.is_some() { "xterm" } else { "dumb" })
        .envs(environment()?)
        .stdin(stdin)
        .stdout(terminal.try_clone()?)
        .stderr(terminal.try_clone()?);

    let (ended, heart) = channel::<()>();
    let beating = thread::spawn(move || beat(&heart));
    let code = match command.spawn() {
        Ok(child) => wait_for(i32::try_from(child.id())?)?,
        Err(error) => {
            use std::io::Write;
            writeln!(&terminal, "testbed: start {program}: {error}").ok();
            NOT_STARTED
        }
    };
    tcdrain(&terminal).ok();
    drop(ended);
    beating.join().ok();
    Ok(code)
}

fn read(name: &str) -> Result<String> {
    let path = format!("{}/{name}", control::CONTROL_MOUNT);
    fs::read_to_string(&path).with_context(|| format!("read {path}"))
}

fn environment() -> Result<Vec<(String, String)>> {
    let pairs = control::split(&read(control::ENVIRONMENT)?);
    Ok(pairs
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// Bytes pass unchanged, except on an interactive terminal, which has its usual line discipline and the outer one's size.
fn open_terminal(window: Option<&str>) -> Result<File> {
    let terminal = File::options()
        .read(true)
        .write(true)
        .open(TERMINAL)
        .context("open terminal")?;
    if let Some((rows, columns)) = window.and_then(|window| window.split_once(' ')) {
        let size = Winsize {
            ws_row: rows.parse().unwrap_or(24),
            ws_col: columns.parse().unwrap_or(80),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).context("set terminal size")?;
    } else {
        let mut modes = tcgetattr(&terminal).context("read terminal modes")?;
        modes.output_modes.remove(OutputModes::OPOST);
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &modes).context("set terminal modes")?;
    }
    Ok(terminal)
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
fn wait_for(command: i32) -> Result<u8> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_pid() == command => return Ok(exit_code(status)),
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
