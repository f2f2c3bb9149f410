//! The `cofferdam` program under test: the one of a dist folder, with a configuration and a state of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// How much longer everything takes where virtualisation is emulated.
const TEST_HOST_SCALE: u32 = 10;
/// Set by the test host for what it runs.
const TEST_HOST_MARK: &str = "COFFERDAM_TESTBED";

/// A program with its state, which is removed with this value.
#[derive(Debug)]
pub struct Cofferdam {
    program: PathBuf,
    folder: TempDir,
}

/// What a finished program left.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// A command line that has not been started yet.
#[derive(Debug)]
pub struct Invocation<'a> {
    cofferdam: &'a Cofferdam,
    arguments: Vec<OsString>,
    stdin: Vec<u8>,
}

impl Cofferdam {
    /// From what `make dist` made: its configuration, with folders for the state added.
    pub fn from_dist(dist: &Path) -> Result<Cofferdam> {
        let folder = TempDir::with_prefix("cofferdam-test.").context("make a state folder")?;
        let source = dist.join("config.toml");
        let mut config = fs::read_to_string(&source)
            .with_context(|| format!("read {source:?}: run make dist"))?;
        config += &format!("state_dir = {:?}\n", folder.path().join("state"));
        config += &format!("run_dir = {:?}\n", folder.path().join("run"));
        if std::env::var_os(TEST_HOST_MARK).is_some_and(|value| value == "1") {
            config += &format!("deadline_scale = {TEST_HOST_SCALE}\n");
        }
        fs::write(folder.path().join("config.toml"), config).context("write configuration")?;
        Ok(Cofferdam {
            program: dist.join("cofferdam"),
            folder,
        })
    }

    /// Where all that it keeps is.
    pub fn state(&self) -> &Path {
        self.folder.path()
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Invocation<'_> {
        let arguments = arguments
            .into_iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        Invocation {
            cofferdam: self,
            arguments,
            stdin: Vec::new(),
        }
    }
}

impl Invocation<'_> {
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs it to its end. The deadline is the program's own: its runs end by themselves.
    pub fn output(self) -> Result<Output> {
        let Invocation {
            cofferdam,
            arguments,
            stdin,
        } = self;
        let mut child = Command::new(&cofferdam.program)
            .arg("--config")
            .arg(cofferdam.folder.path().join("config.toml"))
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {:?} {arguments:?}", cofferdam.program))?;
        let feeding = feed(&mut child, stdin);
        let output = child.wait_with_output().context("wait for cofferdam")?;
        if let Some(feeding) = feeding {
            feeding.join().ok();
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Output {
            status: output.status,
            stdout: output.stdout,
            stderr,
        })
    }
}

/// Writes from a thread: a program that reads slowly must not block the reader of its output.
fn feed(child: &mut Child, bytes: Vec<u8>) -> Option<thread::JoinHandle<()>> {
    let mut pipe = child.stdin.take()?;
    // A program that ends without reading everything is right to do so.
    Some(thread::spawn(move || drop(pipe.write_all(&bytes))))
}

#[cfg(test)]
mod tests;
