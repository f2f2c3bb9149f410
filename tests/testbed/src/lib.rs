//! The nested test host: QEMU emulates (TCG) a machine whose CPU has SVM and which has an IOMMU, and boots a stock Debian
//! kernel there. Its root is the root of this machine, read-only, under an overlay in memory; so everything that is
//! installed or built here is there too, at the same path, and every write is thrown away. `/dev/kvm` is real in it.
//!
//! [`run`] runs one command in one host and says how it ended: its own exit code, out of time, or the host died. Few test hosts run
//! at a time on a machine: more would starve each other, and time out. [`places`] says how many.
//!
//! ```text
//! testbed (the program), tests/e2e ─► run ─► host ─► QEMU ─► testbed-init (PID 1, src/init) ─► the command
//!                                      └► kernel, initramfs (what it boots)
//! ```
//!
//! Both sides meet in [`control`]: the files through which the host is told what to run and says how it went.

mod bzimage;
mod cache;
pub mod control;
pub mod deadlines;
pub mod hardware;
mod host;
mod initramfs;
mod kernel;
mod places;
mod qemu;
mod run;
mod tool;

use std::path::PathBuf;
use std::time::Duration;

pub use places::places;
pub use run::{prepare, run};

/// What to run, and in what host.
#[derive(Clone, Debug)]
pub struct Options {
    /// Program and arguments; the program is searched in PATH.
    pub command: Vec<String>,
    /// Added to a plain environment (PATH, HOME, LANG, TERM): nothing else of the caller's is passed on.
    pub environment: Vec<(String, String)>,
    /// Where the command starts; the caller's own working directory if not said.
    pub directory: Option<PathBuf>,
    /// From the start of QEMU to the command's end.
    pub timeout: Duration,
    pub memory_mib: u32,
    pub cpus: u32,
    /// A folder of this machine that the command sees as `/results` and may write to.
    pub results: Option<PathBuf>,
    /// The caller's terminal becomes the command's: raw, with its size, keys passed on.
    pub interactive: bool,
    /// The host's clock counts instructions: a nanosecond of it is one, whatever the machine. One thread, so several times slower.
    pub instruction_clock: bool,
    /// The static `testbed-init`; looked for beside the caller's own program if not said.
    pub init: Option<PathBuf>,
}

/// With two, QEMU 7.2 loses a wake-up between its processor threads now and then when nested guests run, and the host hangs; with
/// one it went through hundreds of boots. What wants to see several processors starts a guest that has them.
const DEFAULT_CPUS: u32 = 1;

impl Default for Options {
    fn default() -> Options {
        Options {
            command: Vec::new(),
            environment: Vec::new(),
            directory: None,
            timeout: deadlines::COMMAND,
            memory_mib: 4096,
            cpus: DEFAULT_CPUS,
            results: None,
            interactive: false,
            instruction_clock: false,
            init: None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command ended by itself; a signal N that ended it is 128 + N, as a shell says it.
    Exited(u8),
    /// The command was still running at its deadline; its host is gone.
    TimedOut,
    /// The host died, and so did the fresh one that was tried next. This says nothing about the command.
    HostDied {
        reason: String,
        /// The last lines of the host's kernel log.
        console: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    #[error("no command to run in the test host")]
    NoCommand,
    #[error("{action} {path}")]
    File {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("run {program}: install what is missing with tests/testbed/packages")]
    StartTool {
        program: String,
        source: std::io::Error,
    },
    #[error("{program} failed ({status}): {said}")]
    Tool {
        program: String,
        status: std::process::ExitStatus,
        said: String,
    },
    #[error("{path} holds no ELF kernel that a known program can unpack")]
    NoElf { path: PathBuf },
    #[error("{package} of apt's lists names no kernel: run apt-get update, on a Debian machine")]
    NoKernelPackage { package: &'static str },
    #[error(
        "there is no kernel {name:?} for test hosts: {} is iommufd, or nothing",
        kernel::VARIABLE
    )]
    NoKernel { name: String },
    #[error("{path} is not what a kernel package holds: {what}")]
    KernelPackage { path: PathBuf, what: String },
    #[error("no static testbed-init found (looked at {looked}): `make dist` builds it")]
    NoInit { looked: String },
    #[error("write the first root of the test host")]
    Initramfs(#[from] guest_image::cpio::CpioError),
    #[error("watch the test host")]
    Watch(#[source] std::io::Error),
    #[error("working directory {path} is no absolute UTF-8 path")]
    Directory { path: PathBuf },
}

pub type Result<T> = std::result::Result<T, TestbedError>;

/// Wraps the cause of a failed file operation with what was attempted on which path.
fn file_error(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(std::io::Error) -> TestbedError {
    let path = path.into();
    move |source| TestbedError::File {
        action,
        path,
        source,
    }
}
