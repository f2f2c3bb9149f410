//! A container that has been started and not been removed: its holdings and its processes, those that have ended too.

use std::collections::{HashMap, VecDeque};

use agent::stdio::Stream;
use container::{Launch, WindowSize};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

use super::oom::OomWatch;
use crate::{
    deadlines::MAX_PROCESSES,
    fault::{Fault, FaultKind},
    holdings::Holdings,
    ids::ExecId,
    process::{Exit, Process},
    start::Running,
    stdio::StreamHandle,
    sys,
};

/// One container.
#[derive(Debug)]
pub(super) struct Live {
    holdings: Holdings,
    launch: Launch,
    processes: HashMap<ExecId, Entry>,
    /// Execs that have ended, in this order. They are kept for their output, as long as there is room.
    ended: VecDeque<ExecId>,
    /// Its first process is not the first of a PID namespace, so its end does not end the others by itself.
    ends_with_first_process: bool,
    /// Ends with the container.
    _oom: Option<OomWatch>,
}

#[derive(Debug)]
enum Entry {
    /// An exec, which ends at once when it has been given up meanwhile.
    Starting {
        given_up: bool,
    },
    Process(Process),
}

impl Live {
    pub(super) fn new(running: Running, oom: Option<OomWatch>) -> Self {
        let Running {
            holdings,
            launch,
            process,
            ends_with_first_process,
        } = running;
        let processes = HashMap::from([(ExecId::default(), Entry::Process(process))]);
        Self {
            holdings,
            launch,
            processes,
            ended: VecDeque::new(),
            ends_with_first_process,
            _oom: oom,
        }
    }

    pub(super) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// The pid of the first process, which runs.
    pub(super) fn first_process(&mut self) -> Result<u32, Fault> {
        let not_running = format!("container {} is not running", self.launch.container_id);
        let first = self.process(&ExecId::default())?;
        let pid = u32::try_from(first.pid).ok();
        pid.filter(|_| first.exit.is_none())
            .ok_or_else(|| Fault::precondition(not_running))
    }

    /// Takes the id for a process that is to be started.
    pub(super) fn reserve(&mut self, exec: &ExecId) -> Result<Launch, Fault> {
        self.first_process()?;
        if self.processes.contains_key(exec) {
            return Err(Fault::new(
                FaultKind::AlreadyExists,
                format!("exec {exec} exists"),
            ));
        }
        if self.processes.len() >= MAX_PROCESSES {
            // Whoever reads its output has it open, and keeps it.
            let oldest = self.ended.pop_front().ok_or_else(|| {
                Fault::precondition(format!(
                    "a container can't run more than {MAX_PROCESSES} processes of execs"
                ))
            })?;
            self.processes.remove(&oldest);
        }
        let starting = Entry::Starting { given_up: false };
        self.processes.insert(exec.clone(), starting);
        Ok(self.launch.clone())
    }

    pub(super) fn execed(
        &mut self,
        exec: &ExecId,
        result: Result<Process, Fault>,
    ) -> Result<i32, Fault> {
        let before = self.processes.remove(exec);
        let process = result?;
        let pid = process.pid;
        if let Some(Entry::Starting { given_up: true }) = before {
            // What can't be killed here is killed with its container.
            drop(self.kill_exec(exec));
        }
        self.processes.insert(exec.clone(), Entry::Process(process));
        Ok(pid)
    }

    /// Whether the OOM killer has been here.
    pub(super) fn ended(&mut self, exec: &ExecId, exit: Exit) -> bool {
        if let Some(Entry::Process(process)) = self.processes.get_mut(exec) {
            process.exit = Some(exit);
        }
        if !exec.is_first_process() {
            self.ended.push_back(exec.clone());
            // It stays while the exec has left processes, and goes with the container then.
            drop(self.holdings.cgroup.of_exec(exec.as_str()).remove());
        }
        if exec.is_first_process() && self.ends_with_first_process {
            // Whatever survives it is killed again, and waited for, when the container is removed.
            drop(self.holdings.cgroup.kill_without_wait());
        }
        self.holdings.cgroup.oom_kills() > 0
    }

    pub(super) fn signal(&mut self, exec: &ExecId, signal: i32) -> Result<(), Fault> {
        let process = self.process(exec)?;
        if process.exit.is_some() {
            return Err(Fault::not_found("the process has ended"));
        }
        // Not reaped yet, so the number is still this process's.
        sys::kill(process.pid, signal)
            .map_err(|error| Fault::internal_io("send the signal", &error))
    }

    /// To the container's, or to those that an exec has left, too, when it has ended itself.
    pub(super) fn signal_all(&mut self, exec: &ExecId, signal: i32) -> Result<(), Fault> {
        self.process(exec)?;
        let cgroup = match exec.is_first_process() {
            true => self.holdings.cgroup.clone(),
            false => self.holdings.cgroup.of_exec(exec.as_str()),
        };
        if signal == libc::SIGKILL {
            // At once, so that none can fork away from it.
            return Ok(cgroup.kill_without_wait()?);
        }
        // A process may end between the list and its signal; one that is gone needs none.
        for pid in cgroup.processes() {
            match sys::kill(pid, signal) {
                Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                    return Err(Fault::internal_io("send the signal", &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Kills every exec that has not ended, with what came from it.
    pub(super) fn end_execs(&mut self) -> Result<(), Fault> {
        let mut running = Vec::new();
        for (exec, entry) in &mut self.processes {
            match entry {
                Entry::Starting { given_up } => *given_up = true,
                Entry::Process(process) if process.exit.is_some() => {}
                Entry::Process(_) if exec.is_first_process() => {}
                Entry::Process(_) => running.push(exec.clone()),
            }
        }
        // All of them, whatever the first answers.
        let killed: Vec<_> = running.iter().map(|exec| self.kill_exec(exec)).collect();
        killed.into_iter().collect()
    }

    fn kill_exec(&self, exec: &ExecId) -> Result<(), Fault> {
        let cgroup = self.holdings.cgroup.of_exec(exec.as_str());
        Ok(cgroup.kill_without_wait()?)
    }

    pub(super) fn resize(&mut self, exec: &ExecId, size: WindowSize) -> Result<(), Fault> {
        let process = self.process(exec)?;
        let Some(terminal) = &process.terminal else {
            return Err(Fault::precondition("the process has no terminal"));
        };
        let terminal = terminal.get_ref();
        let set = || {
            let old = tcgetwinsize(terminal)?;
            tcsetwinsize(
                terminal,
                Winsize {
                    ws_col: size.columns,
                    ws_row: size.rows,
                    ..old
                },
            )
        };
        set().map_err(|errno| Fault::internal_io("set the size of the terminal", &errno.into()))
    }

    pub(super) fn stream(&mut self, exec: &ExecId, stream: Stream) -> Result<StreamHandle, Fault> {
        let process = self.process(exec)?;
        let (handle, why_not) = match stream {
            Stream::Stdin => (
                process.stdin.clone(),
                "it was started without standard input",
            ),
            Stream::Stdout => (Some(process.stdout.clone()), ""),
            Stream::Stderr => (
                process.stderr.clone(),
                "a terminal has one stream of output",
            ),
        };
        handle.ok_or_else(|| Fault::not_found(format!("the process has no such stream: {why_not}")))
    }

    fn process(&mut self, exec: &ExecId) -> Result<&mut Process, Fault> {
        match self.processes.get_mut(exec) {
            Some(Entry::Process(process)) => Ok(process),
            Some(Entry::Starting { .. }) => {
                Err(Fault::precondition("the process is being started"))
            }
            None => Err(Fault::not_found(format!(
                "no process {exec} in container {}",
                self.launch.container_id
            ))),
        }
    }
}
