//! One test host from its start to its end: makes its folder, starts QEMU, watches it, says how it ended.
//!
//! A host lives while PID 1's heartbeat goes on or its console says something. The caller holds the lock that lets only
//! one host run at a time, so the run folder in the cache is ours alone.

mod console;
mod terminal;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::kernel::Kernel;
use crate::qemu::{self, Machine};
use crate::{Options, Result, TestbedError, cache, control, deadlines, file_error, initramfs};

/// How one host ended.
#[derive(Debug)]
pub(crate) enum End {
    Exited(u8),
    TimedOut,
    Died { reason: String, console: String },
}

/// Why a host is no longer watched.
enum Stop {
    Ended,
    OutOfTime,
    Silent,
}

/// The files of one host, in the cache.
struct Folder {
    control: PathBuf,
    console: PathBuf,
    /// What QEMU itself says.
    messages: PathBuf,
    initramfs: PathBuf,
}

/// Runs the command of `options` in a fresh host.
pub(crate) fn run(options: &Options, kernel: &Kernel, init: &Path) -> Result<End> {
    let folder = make_folder(options)?;
    initramfs::write(kernel, init, &folder.initramfs)?;
    let _terminal = options.interactive.then(terminal::Saved::take);
    let mut child = start(options, kernel, &folder)?;
    let stop = watch(&mut child, options.timeout, &folder);
    // Whatever happened to the watch, nothing of the host stays behind.
    drop(child.kill());
    let status = child.wait().map_err(TestbedError::Watch)?;
    let stop = stop?;

    if let Some(results) = &options.results {
        let kept = results.join("console.log");
        fs::copy(&folder.console, &kept).map_err(file_error("write", &kept))?;
    }
    if let Some(code) = exit_code(&folder) {
        return Ok(End::Exited(code));
    }
    let log = console::read(&folder.console);
    let died = |reason| End::Died {
        reason,
        console: console::tail(&log),
    };
    Ok(match (stop, console::trouble(&log)) {
        (Stop::Silent, _) => died(format!(
            "it gave no sign of life for {} s",
            deadlines::SILENCE.as_secs()
        )),
        (Stop::OutOfTime, Some(line)) => died(format!("out of time, and its kernel says: {line}")),
        (Stop::OutOfTime, None) => End::TimedOut,
        (Stop::Ended, trouble) => {
            let said = trouble.unwrap_or_else(|| console::read(&folder.messages).trim().to_owned());
            died(format!("QEMU ended without a result ({status}) {said}"))
        }
    })
}

fn make_folder(options: &Options) -> Result<Folder> {
    let root = cache::folder()?.join("run");
    if root.exists() {
        fs::remove_dir_all(&root).map_err(file_error("empty", &root))?;
    }
    let folder = Folder {
        control: root.join("control"),
        console: root.join("console.log"),
        messages: root.join("qemu.log"),
        initramfs: root.join("initramfs.cpio"),
    };
    fs::create_dir_all(&folder.control).map_err(file_error("create", &folder.control))?;

    let directory = match &options.directory {
        Some(directory) => directory.clone(),
        None => std::env::current_dir().map_err(file_error("find working directory", "."))?,
    };
    let directory = match directory.to_str() {
        Some(text) if directory.is_absolute() => text.to_owned(),
        _ => return Err(TestbedError::Directory { path: directory }),
    };
    let environment = options
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let put = |name: &str, content: String| {
        let path = folder.control.join(name);
        fs::write(&path, content).map_err(file_error("write", &path))
    };
    put(control::COMMAND, control::join(&options.command))?;
    put(control::ENVIRONMENT, control::join(environment))?;
    put(control::DIRECTORY, directory)?;
    if options.interactive {
        put(control::WINDOW, terminal::window())?;
    }
    Ok(folder)
}

fn start(options: &Options, kernel: &Kernel, folder: &Folder) -> Result<Child> {
    if let Some(results) = &options.results {
        fs::create_dir_all(results).map_err(file_error("create", results))?;
    }
    let machine = Machine {
        kernel: kernel.vmlinux.clone(),
        initramfs: folder.initramfs.clone(),
        modules: kernel.modules.clone(),
        control: folder.control.clone(),
        results: options.results.clone(),
        console: folder.console.clone(),
        memory_mib: options.memory_mib,
        cpus: options.cpus,
    };
    let messages =
        File::create(&folder.messages).map_err(file_error("create", &folder.messages))?;
    let stdin = if options.interactive {
        Stdio::inherit()
    } else {
        Stdio::null()
    };
    // setpriv: when we are killed, so is QEMU, and the lock that we held speaks the truth.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", qemu::PROGRAM])
        .args(qemu::arguments(&machine))
        .stdin(stdin)
        .stderr(messages)
        .spawn()
        .map_err(|source| TestbedError::StartTool {
            program: qemu::PROGRAM.to_owned(),
            source,
        })
}

fn watch(child: &mut Child, timeout: Duration, folder: &Folder) -> Result<Stop> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("pids are positive");
    let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(watch_error)?;
    let interval = Timespec::try_from(deadlines::WATCH_INTERVAL).expect("half a second fits");
    let started = Instant::now();
    let mut life = (Instant::now(), Life::default());
    let mut reported = None;
    loop {
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&interval)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(Stop::Ended),
            Err(error) => return Err(watch_error(error)),
        }
        // The exit code is there: QEMU has a moment to end by itself, so that the terminal is drained.
        if folder.control.join(control::EXIT).exists() {
            let since = reported.get_or_insert_with(Instant::now);
            if since.elapsed() > deadlines::POWER_OFF {
                return Ok(Stop::Ended);
            }
            continue;
        }
        let now = Life::of(folder);
        if now != life.1 {
            life = (Instant::now(), now);
        }
        if started.elapsed() > timeout {
            return Ok(Stop::OutOfTime);
        }
        if life.0.elapsed() > deadlines::SILENCE {
            return Ok(Stop::Silent);
        }
    }
}

/// What changes while a host lives.
#[derive(Default, PartialEq)]
struct Life {
    heartbeat: String,
    console_bytes: u64,
}

impl Life {
    fn of(folder: &Folder) -> Life {
        let heartbeat = folder.control.join(control::HEARTBEAT);
        Life {
            heartbeat: fs::read_to_string(heartbeat).unwrap_or_default(),
            console_bytes: fs::metadata(&folder.console).map_or(0, |metadata| metadata.len()),
        }
    }
}

fn exit_code(folder: &Folder) -> Option<u8> {
    let text = fs::read_to_string(folder.control.join(control::EXIT)).ok()?;
    text.trim().parse().ok()
}

fn watch_error(error: Errno) -> TestbedError {
    TestbedError::Watch(error.into())
}
