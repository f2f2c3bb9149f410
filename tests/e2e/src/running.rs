//! A program that a test started and talks to: what it has said so far, how it ended, always with a deadline.
//!
//! Main types: [`Running`], then [`Ended`]. Pipes here; a terminal is in `terminal.rs`.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

/// How much of what a program said stands in a failure's message.
const SHOWN_BYTES: usize = 2000;

/// What comes out of a pipe or a terminal, gathered by a thread until it ends.
///
/// The lock guards only the buffer: the thread appends, the test looks.
#[derive(Debug, Clone)]
pub(crate) struct Gathered {
    shared: Arc<(Mutex<Buffer>, Condvar)>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    ended: bool,
}

impl Gathered {
    /// Of a stream that is not gathered: it has ended, and nothing came.
    pub(crate) fn nothing() -> Self {
        Self::new(Buffer {
            bytes: Vec::new(),
            ended: true,
        })
    }

    fn new(buffer: Buffer) -> Self {
        Self {
            shared: Arc::new((Mutex::new(buffer), Condvar::new())),
        }
    }

    pub(crate) fn from(source: OwnedFd) -> Self {
        let gathered = Self::new(Buffer::default());
        let shared = gathered.clone();
        thread::spawn(move || shared.read_all(File::from(source)));
        gathered
    }

    fn read_all(&self, mut source: File) {
        let mut chunk = [0_u8; 64 << 10];
        loop {
            match source.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A terminal whose other side is gone gives an error, not an end (tty_ioctl(4), EIO).
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    self.change(|buffer| buffer.bytes.extend_from_slice(&chunk[..length]))
                }
            }
        }
        self.change(|buffer| buffer.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut Buffer)) {
        change(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.1.notify_all();
    }

    /// Waits until the text has appeared.
    pub(crate) fn wait_for(&self, text: &str, within: Duration) -> Result<()> {
        let appeared = |buffer: &Buffer| {
            buffer
                .bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        let (bytes, met) = self.wait_until(within, |buffer| appeared(buffer) || buffer.ended);
        let found = appeared(&Buffer {
            bytes: bytes.clone(),
            ended: true,
        });
        let why = if met {
            "its output ended"
        } else {
            "time is up"
        };
        ensure!(
            found,
            "{text:?} did not appear ({why}, {within:?}); it said: {}",
            shown(&bytes)
        );
        Ok(())
    }

    /// Waits for the end; all that came.
    pub(crate) fn wait_for_end(&self, within: Duration) -> Result<Vec<u8>> {
        let (bytes, met) = self.wait_until(within, |buffer| buffer.ended);
        ensure!(
            met,
            "output did not end within {within:?}; it said: {}",
            shown(&bytes)
        );
        Ok(bytes)
    }

    pub(crate) fn so_far(&self) -> Vec<u8> {
        self.shared
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .bytes
            .clone()
    }

    /// Whether the condition came true, and what had been said then.
    fn wait_until(&self, within: Duration, met: impl Fn(&Buffer) -> bool) -> (Vec<u8>, bool) {
        let (lock, changed) = &*self.shared;
        let buffer = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let (buffer, timeout) = changed
            .wait_timeout_while(buffer, within, |buffer| !met(buffer))
            .unwrap_or_else(PoisonError::into_inner);
        (buffer.bytes.clone(), !timeout.timed_out())
    }
}

/// A started program. Dropping it kills it, so a failed test leaves none behind.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) stdout: Gathered,
    pub(crate) stderr: Gathered,
    started: Instant,
}

impl Running {
    /// Starts a program with a pipe for each standard stream.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self::start_as_is(command)
    }

    /// Starts a program whose streams the caller has set; what is a pipe is gathered.
    pub(crate) fn start_as_is(mut command: Command) -> Result<Self> {
        let started = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            stdout: stdout.map_or_else(Gathered::nothing, Gathered::from),
            stderr: stderr.map_or_else(Gathered::nothing, Gathered::from),
            started,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self.stdin.as_mut().context("its input is closed already")?;
        stdin.write_all(bytes).context("write to its input")
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::kill_process(self.pid(), signal).context("send it a signal")
    }

    /// Whether it has ended already.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self
            .child
            .try_wait()
            .context("look after the program")?
            .is_some())
    }

    /// Closes its input and waits for its end and that of its output.
    pub(crate) fn finish(mut self, within: Duration) -> Result<Ended> {
        self.close_stdin();
        self.wait(within)
    }

    /// Waits for its end with its input left open.
    pub(crate) fn wait(&mut self, within: Duration) -> Result<Ended> {
        let status = self.status(within)?;
        let took = self.started.elapsed();
        let left = within.saturating_sub(took).max(Duration::from_secs(1));
        Ok(Ended {
            status,
            stdout: self.stdout.wait_for_end(left)?,
            stderr: String::from_utf8_lossy(&self.stderr.wait_for_end(left)?).into_owned(),
            took,
        })
    }

    fn status(&mut self, within: Duration) -> Result<ExitStatus> {
        let process = rustix::process::pidfd_open(self.pid(), PidfdFlags::empty())
            .context("watch the program")?;
        let deadline = Timespec::try_from(within).context("turn the deadline into a timespec")?;
        let mut watched = [PollFd::new(&process, PollFlags::IN)];
        let ready =
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut watched, Some(&deadline)));
        if ready.context("wait for the program")? == 0 {
            let said = (shown(&self.stdout.so_far()), shown(&self.stderr.so_far()));
            bail!(
                "it did not end within {within:?}; stdout: {}; stderr: {}",
                said.0,
                said.1
            );
        }
        self.child.wait().context("learn how the program ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail on a program that has been waited for, which is the usual case.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// How a program ended and all that it said.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// Checks the exit code.
    pub(crate) fn expect_code(&self, code: i32) -> Result<&Self> {
        ensure!(
            self.status.code() == Some(code),
            "expected exit code {code}, but {self}"
        );
        Ok(self)
    }

    /// Checks that it ended by itself with any other code than 0.
    pub(crate) fn expect_failure(&self) -> Result<&Self> {
        let failed = self.status.code().is_some_and(|code| code != 0);
        ensure!(failed, "expected it to fail, but {self}");
        Ok(self)
    }

    pub(crate) fn expect_stdout(&self, text: &str) -> Result<&Self> {
        ensure!(
            self.stdout == text.as_bytes(),
            "expected stdout {text:?}, but {self}"
        );
        Ok(self)
    }

    /// Checks that a person who reads the error finds all of these words in it, in any case.
    pub(crate) fn expect_error_naming(&self, words: &[&str]) -> Result<&Self> {
        let said = self.stderr.to_lowercase();
        for word in words {
            ensure!(
                said.contains(&word.to_lowercase()),
                "expected {word:?} in the error, but {self}"
            );
        }
        Ok(self)
    }

    /// Standard output as text without the blank around it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => write!(f, "it exited with {code}")?,
            (None, signal) => write!(f, "signal {signal:?} ended it")?,
        }
        let stderr = shown(self.stderr.as_bytes());
        write!(
            f,
            " after {:.1?}; stdout: {}; stderr: {stderr}",
            self.took,
            shown(&self.stdout)
        )
    }
}

/// The end of what was said, escaped: a guest may have written it.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(SHOWN_BYTES);
    let dots = if from > 0 { "…" } else { "" };
    let text = String::from_utf8_lossy(&bytes[from..]);
    format!("{dots}{text:?}")
}
