//! The last steps in a container's process, after libcontainer has done its part: seccomp, capabilities, the size of the terminal,
//! and the exec itself. Reports why the command could not be executed, in a structure, through a pipe that a successful execve
//! closes; libcontainer's own report is a sentence in the one case and none in the other.

use std::{
    cell::OnceCell,
    collections::HashMap,
    ffi::CString,
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
    rc::Rc,
};

use libcontainer::{
    capabilities::{self, CapabilityExt},
    seccomp::initialize_seccomp,
    syscall::linux::LinuxSyscall,
    workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError},
};
use nix::{sys::signal::SigSet, unistd};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Spec};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    termios::{Winsize, tcgetwinsize, tcsetwinsize},
};

use crate::{
    failure::{Failure, FailureKind},
    identity::Newcomer,
    message::WindowSize,
    read_only,
    spec::LastSteps,
    streams, sys,
};

/// execvp(3) without a PATH looks here.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A report is a sentence or two; more would be a mistake of ours.
const MAX_REPORT_BYTES: u64 = 64 * 1024;

/// libcontainer clones it into the process that will be the command's.
#[derive(Debug, Clone)]
pub(crate) struct LastExecutor {
    steps: Rc<LastSteps>,
    window: Option<WindowSize>,
    report: Rc<OwnedFd>,
    /// Moves the process that writes to it into the exec's cgroup.
    door: Option<Rc<File>>,
    /// Of an exec in a user namespace.
    newcomer: Option<Rc<Newcomer>>,
    /// libcontainer looks HOME up in the container's /etc/passwd.
    home: Rc<OnceCell<String>>,
}

/// The reading end of the pipe.
#[derive(Debug)]
pub(crate) struct Report {
    pipe: OwnedFd,
}

impl LastExecutor {
    pub(crate) fn new(
        steps: LastSteps,
        window: Option<WindowSize>,
    ) -> Result<(Self, Report), Failure> {
        let (pipe, report) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| Failure::internal("make the pipe for the exec's outcome", &error))?;
        let executor = Self {
            steps: Rc::new(steps),
            window,
            report: Rc::new(report),
            door: None,
            newcomer: None,
            home: Rc::new(OnceCell::new()),
        };
        Ok((executor, Report { pipe }))
    }

    /// The process goes through this cgroup's `cgroup.procs` before it becomes the command.
    pub(crate) fn through(self, door: File) -> Self {
        Self {
            door: Some(Rc::new(door)),
            ..self
        }
    }

    /// The process joins a user namespace before it becomes the command.
    pub(crate) fn joining(self, newcomer: Option<Newcomer>) -> Self {
        Self {
            newcomer: newcomer.map(Rc::new),
            ..self
        }
    }

    /// Returns only when the command could not be executed.
    fn become_the_command(&self) -> Failure {
        match self.last_steps() {
            Ok((path, arguments, environment)) => {
                let Err(error) = unistd::execve(&path, &arguments, &environment);
                explain(&path, &error.into())
            }
            Err(failure) => failure,
        }
    }

    fn last_steps(&self) -> Result<(CString, Vec<CString>, Vec<CString>), Failure> {
        let steps = &*self.steps;
        if let Some(door) = &self.door {
            // 0 is the writer itself.
            (&**door)
                .write_all(b"0")
                .map_err(|error| Failure::internal("enter the exec's cgroup", &error))?;
        }
        if let Some(window) = self.window {
            set_window_size(window)
                .map_err(|error| Failure::internal("set the size of the terminal", &error))?;
            let newcomer = self.newcomer.as_ref();
            streams::own_terminal(newcomer.map_or(steps.uid, |newcomer| newcomer.guest_uid()))?;
        }
        if let Some(newcomer) = &self.newcomer {
            newcomer.join()?;
        }
        let arguments = strings(&steps.args)?;
        let environment = strings(&self.environment())?;
        read_only::make(&steps.read_only_paths)?;
        // What can be said about the command is said before the filter, which may deny what the report needs.
        let command = steps.args.first().map_or("", String::as_str);
        let path = find(command, &self.environment())?;
        let path = strings(&[path])?.remove(0);
        sys::default_signals().map_err(|error| Failure::internal("reset the signals", &error))?;
        SigSet::empty()
            .thread_set_mask()
            .map_err(|error| Failure::internal("unblock signals", &error))?;
        // Without no_new_privs the filter takes CAP_SYS_ADMIN to load, so it goes before the capabilities (seccomp(2)).
        if steps.no_new_privileges {
            self.drop_capabilities()?;
            self.load_seccomp()?;
        } else {
            self.load_seccomp()?;
            self.drop_capabilities()?;
        }
        Ok((path, arguments, environment))
    }

    fn drop_capabilities(&self) -> Result<(), Failure> {
        let wanted = possible(&self.steps.capabilities)
            .map_err(|error| Failure::internal("read the agent's capabilities", &error))?;
        capabilities::drop_privileges(&wanted, &LinuxSyscall)
            .map_err(|error| Failure::internal("set the process's capabilities", &error))
    }

    fn load_seccomp(&self) -> Result<(), Failure> {
        let Some(seccomp) = &self.steps.seccomp else {
            return Ok(());
        };
        initialize_seccomp(seccomp)
            .map(|_no_listener| ())
            .map_err(|error| Failure::internal("load the seccomp filter", &error))
    }

    fn environment(&self) -> Vec<String> {
        let mut environment = self.steps.env.clone();
        if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
            environment.extend(self.home.get().map(|home| format!("HOME={home}")));
        }
        environment
    }
}

impl Executor for LastExecutor {
    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        let failure = self.become_the_command();
        let message = failure.message.clone();
        let line = serde_json::to_vec(&failure).unwrap_or_default();
        let written = self
            .report
            .try_clone()
            .map(File::from)
            .and_then(|mut pipe| pipe.write_all(&line));
        // A filter that denies write leaves no way to say more than the exit code does.
        drop(written);
        Err(ExecutorError::Other(message))
    }

    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    fn setup_envs(&self, environment: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        if let Some(home) = environment.get("HOME") {
            // A second call for the same process would bring the same.
            drop(self.home.set(home.clone()));
        }
        Ok(())
    }
}

impl Report {
    /// Waits until the command has been executed, or is known not to be: every writer is gone then. Close the executor first.
    pub(crate) fn wait(self) -> Result<(), Failure> {
        let mut text = Vec::new();
        File::from(self.pipe)
            .take(MAX_REPORT_BYTES)
            .read_to_end(&mut text)
            .map_err(|error| Failure::internal("wait for the exec's outcome", &error))?;
        if text.is_empty() {
            return Ok(());
        }
        Err(
            serde_json::from_slice(&text).unwrap_or_else(|_not_json| Failure {
                kind: FailureKind::Internal,
                message: "the command could not be executed".into(),
            }),
        )
    }
}

/// Without what the kernel does not know or the agent does not have: nobody can pass that on, and "all" means all there are.
fn possible(wanted: &LinuxCapabilities) -> io::Result<LinuxCapabilities> {
    let had = rustix::thread::capabilities(None)?.permitted.bits();
    let keep = |set: &Option<Capabilities>| {
        let set = set.iter().flatten().copied();
        Some(
            set.filter(|one| had & (1 << one.to_cap().index()) != 0)
                .collect(),
        )
    };
    let mut all = LinuxCapabilities::default();
    all.set_bounding(keep(wanted.bounding()))
        .set_effective(keep(wanted.effective()))
        .set_permitted(keep(wanted.permitted()))
        .set_inheritable(keep(wanted.inheritable()))
        .set_ambient(keep(wanted.ambient()));
    Ok(all)
}

/// ENOENT for a file that exists is about its interpreter (execve(2)).
fn explain(path: &CString, error: &io::Error) -> Failure {
    let path = path.to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound && fs::metadata(&*path).is_ok() {
        return Failure::from_execve(&format!("the interpreter of {path}"), error);
    }
    Failure::from_execve(&path, error)
}

/// The path to give to execve: as execvp(3) finds it, without its detour over /bin/sh for files in an unknown format.
fn find(command: &str, environment: &[String]) -> Result<String, Failure> {
    if command.contains('/') {
        return executable(Path::new(command))
            .map(|()| command.to_owned())
            .map_err(|error| Failure::from_execve(command, &error));
    }
    let path = environment
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let mut reason = io::Error::from(io::ErrorKind::NotFound);
    for folder in path.unwrap_or(DEFAULT_PATH).split(':') {
        let folder = if folder.is_empty() { "." } else { folder };
        let candidate = format!("{folder}/{command}");
        match executable(Path::new(&candidate)) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => reason = error,
            Err(_absent) => {}
        }
    }
    Err(Failure::from_execve(command, &reason))
}

/// A directory answers EACCES, as execve does. Capabilities are still full here, so a file that only its owner may execute passes
/// and execve itself refuses it.
fn executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

fn strings(texts: &[String]) -> Result<Vec<CString>, Failure> {
    texts
        .iter()
        .map(|text| CString::new(text.as_str()))
        .collect::<Result<_, _>>()
        .map_err(|_nul| Failure::invalid("a string of the process contains a NUL"))
}

/// Sets those of the two that are not 0.
fn set_window_size(window: WindowSize) -> io::Result<()> {
    let terminal = rustix::stdio::stdin();
    let mut size: Winsize = tcgetwinsize(terminal)?;
    if window.columns != 0 {
        size.ws_col = window.columns;
    }
    if window.rows != 0 {
        size.ws_row = window.rows;
    }
    Ok(tcsetwinsize(terminal, size)?)
}
