//! One test host from its start to its end: makes its folder, starts QEMU, watches it, says how it ended.
//!
//! A host lives while PID 1's heartbeat goes on or its console says something. The caller holds the lock of the host's place, so the
//! place's run folder in the cache is ours alone.

mod console;
mod output;
mod terminal;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::kernel::Kernel;
use crate::places::Place;
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

/// Of each disk that VFIO may have.
const SPARE_BYTES: u64 = 8 << 20;
/// One that a VM has from its start, and one that it is given later.
const NVME_DISKS: usize = 2;

/// The files of one host, in the cache.
struct Folder {
    control: PathBuf,
    console: PathBuf,
    spare: PathBuf,
    nvme: Vec<PathBuf>,
    /// What QEMU itself says.
    messages: PathBuf,
    initramfs: PathBuf,
}

/// Runs the command of `options` in a fresh host.
pub(crate) fn run(options: &Options, kernel: &Kernel, init: &Path, place: &Place) -> Result<End> {
    let folder = make_folder(options, place)?;
    initramfs::write(kernel, init, &folder.initramfs)?;
    let _terminal = options.interactive.then(terminal::Saved::take);
    let mut child = start(options, kernel, &folder)?;
    let output = child.stdout.take().map(output::Pump::start);
    let stop = watch(&child, options.timeout, &folder, output.as_ref());
    // Whatever happened to the watch, nothing of the host stays behind; it holds nothing that is worth a proper end.
    drop(child.kill());
    let status = child.wait().map_err(TestbedError::Watch)?;
    if let Some(output) = output {
        output.finish();
    }
    let stop = stop?;

    if let Some(results) = &options.results {
        let kept = results.join("console.log");
        fs::copy(&folder.console, &kept).map_err(file_error("write", &kept))?;
    }
    if let Some(exit) = Exit::read(&folder) {
        return Ok(End::Exited(exit.code));
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
            let said =
                trouble.unwrap_or_else(|| console::complaints(&console::read(&folder.messages)));
            died(format!("QEMU ended without a result ({status}) {said}"))
        }
    })
}

fn make_folder(options: &Options, place: &Place) -> Result<Folder> {
    let root = cache::folder()?.join(format!("run-{}", place.number));
    if root.exists() {
        fs::remove_dir_all(&root).map_err(file_error("empty", &root))?;
    }
    let folder = Folder {
        control: root.join("control"),
        console: root.join("console.log"),
        spare: root.join("spare.img"),
        nvme: (0..NVME_DISKS)
            .map(|number| root.join(format!("nvme-{number}.img")))
            .collect(),
        messages: root.join("qemu.log"),
        initramfs: root.join("initramfs.cpio"),
    };
    fs::create_dir_all(&folder.control).map_err(file_error("create", &folder.control))?;
    for disk in std::iter::once(&folder.spare).chain(&folder.nvme) {
        let made = File::create(disk).and_then(|file| file.set_len(SPARE_BYTES));
        made.map_err(file_error("create", disk))?;
    }

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
        spare: folder.spare.clone(),
        nvme: folder.nvme.clone(),
        console: folder.console.clone(),
        memory_mib: options.memory_mib,
        cpus: options.cpus,
        interactive: options.interactive,
        instruction_clock: options.instruction_clock,
    };
    let messages =
        File::create(&folder.messages).map_err(file_error("create", &folder.messages))?;
    let (stdin, stdout) = match options.interactive {
        true => (Stdio::inherit(), Stdio::inherit()),
        // A standard input that ended would close the port (hw/char/virtio-console.c); this one stays open and empty.
        false => (Stdio::piped(), Stdio::piped()),
    };
    // setpriv: when we are killed, so is QEMU, and the lock that we held speaks the truth.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", qemu::PROGRAM])
        .args(qemu::arguments(&machine))
        .stdin(stdin)
        .stdout(stdout)
        .stderr(messages)
        .spawn()
        .map_err(|source| TestbedError::StartTool {
            program: qemu::PROGRAM.to_owned(),
            source,
        })
}

/// Waits for QEMU's end, for the command's end with all of its output, or for a reason to wait no longer.
fn watch(
    child: &Child,
    timeout: Duration,
    folder: &Folder,
    output: Option<&output::Pump>,
) -> Result<Stop> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("pids are positive");
    let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(watch_error)?;
    let interval =
        Timespec::try_from(deadlines::WATCH_INTERVAL).expect("a fraction of a second fits");
    let started = Instant::now();
    let mut last = (Instant::now(), Life::default());
    loop {
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&interval)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(Stop::Ended),
            Err(error) => return Err(watch_error(error)),
        }
        let life = Life::of(folder, output);
        if life != last.1 {
            last = (Instant::now(), life);
        }
        let silence = last.0.elapsed();
        match (Exit::read(folder), output) {
            // With a terminal, the host powers off by itself once that is drained.
            (Some(exit), Some(output)) if output.received() >= exit.bytes => {
                return Ok(Stop::Ended);
            }
            (Some(_), _) if silence > deadlines::DRAIN => return Ok(Stop::Ended),
            (Some(_), _) => {}
            (None, _) if started.elapsed() > timeout => return Ok(Stop::OutOfTime),
            (None, _) if silence > deadlines::SILENCE => return Ok(Stop::Silent),
            (None, _) => {}
        }
    }
}

/// What changes while a host lives.
#[derive(Default, PartialEq)]
struct Life {
    heartbeat: String,
    console_bytes: u64,
    output_bytes: u64,
}

impl Life {
    fn of(folder: &Folder, output: Option<&output::Pump>) -> Life {
        let heartbeat = folder.control.join(control::HEARTBEAT);
        Life {
            heartbeat: fs::read_to_string(heartbeat).unwrap_or_default(),
            console_bytes: fs::metadata(&folder.console).map_or(0, |metadata| metadata.len()),
            output_bytes: output.map_or(0, output::Pump::received),
        }
    }
}

/// What the host said of the command's end.
struct Exit {
    code: u8,
    bytes: u64,
}

impl Exit {
    fn read(folder: &Folder) -> Option<Exit> {
        let text = fs::read_to_string(folder.control.join(control::EXIT)).ok()?;
        let (code, bytes) = text.trim().split_once(' ')?;
        Some(Exit {
            code: code.parse().ok()?,
            bytes: bytes.parse().ok()?,
        })
    }
}

fn watch_error(error: Errno) -> TestbedError {
    TestbedError::Watch(error.into())
}
