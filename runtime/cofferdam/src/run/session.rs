//! One attached run: starts the pod, attends to it until the container's process has ended, tears it down. Main type:
//! [`Session`]. Below: `pod`; beside: `copy`, `signals`, `terminal`.

use std::time::{Duration, Instant};

use model::{ContainerId, ExitStatus};
use pod::{Booted, ContainerPlan, Identity, Pod, PodError, PodPlan, Process, ProcessExit, Streams};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};

use super::{
    copy::{self, End},
    report::{self, Timings},
    signals::{Notice, Signals},
    terminal::{self, RawTerminal},
};

/// How many of the caller's signals a container may ignore; the one after them ends the pod.
const PATIENCE: u32 = 2;

/// What a program that writes to a closed pipe dies of (signal(7)).
const SIGPIPE: u8 = 13;

/// A run that is about to begin.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) plan: PodPlan,
    pub(super) container: ContainerPlan,
    /// Print timings; how long the image took.
    pub(super) timings: Option<Duration>,
}

impl Session {
    /// Runs, and gives the exit code for the caller's shell.
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let mut signals = Signals::watch()?;
        let container = self.container.id.clone();
        let pods_dir = self.plan.pods_dir.clone();
        let deadlines = self.plan.deadlines;
        let has_terminal = self.container.spec.terminal.is_some();
        // What a killed run before this one left.
        pod::sweep(&pods_dir, deadlines).await?;
        let (pod, process) = tokio::select! {
            started = start(self.plan, self.container) => started?,
            number = signals.next_forward() => {
                // The half-started pod has no owner any more.
                pod::sweep(&pods_dir, deadlines).await?;
                return Ok(ExitStatus::Signaled(number).shell_code());
            }
        };
        let running = Instant::now();
        let raw = if has_terminal {
            RawTerminal::enter()?
        } else {
            None
        };
        let attendance = Attendance::begin(&pod, &container, process);
        let outcome = attendance.attend(&mut signals).await;
        drop(raw);
        let status = pod.status();
        let timings = self
            .timings
            .zip(status.launch.clone())
            .map(|(image, launch)| Timings {
                image,
                stages: status.stages.clone(),
                launch,
                container: running.elapsed(),
                teardown: Duration::ZERO,
            });
        let stopping = Instant::now();
        let stopped = pod.stop().await;
        if let Some(timings) = timings {
            let timings = Timings {
                teardown: stopping.elapsed(),
                ..timings
            };
            report::line(&timings.table());
        }
        let status = outcome?;
        stopped?;
        if let ExitStatus::OutOfMemory { .. } = status {
            report::line(&format!(
                "cofferdam: the container {status}; --memory gives it more"
            ));
        }
        Ok(status.shell_code())
    }
}

/// The pod with its container running. A start that fails leaves nothing.
async fn start(plan: PodPlan, container: ContainerPlan) -> Result<(Pod, Process), PodError> {
    let identity = Identity {
        hostname: plan.id.to_string(),
        ..Identity::default()
    };
    let pod = Booted::launch(plan).await?.become_pod(identity).await?;
    let id = container.id.clone();
    let started = async {
        pod.create_container(container).await?;
        pod.start_attached(&id).await
    };
    match started.await {
        Ok(process) => Ok((pod, process)),
        Err(error) => {
            // The first error is the one to report.
            drop(pod.stop().await);
            Err(error)
        }
    }
}

/// Looks after a running process.
struct Attendance<'a> {
    pod: &'a Pod,
    container: &'a ContainerId,
    exit: ProcessExit,
    /// Tells the copiers that the process has ended.
    exited: watch::Sender<bool>,
    outputs: JoinSet<anyhow::Result<End>>,
    input: JoinSet<()>,
    /// Signals passed on so far.
    forwarded: u32,
    /// The container has a terminal, whose size follows the caller's.
    terminal: bool,
}

/// What woke the attendance.
enum Wake {
    Exited(Result<ExitStatus, PodError>),
    Copied(Option<Result<anyhow::Result<End>, JoinError>>),
    Signal(Notice),
}

impl<'a> Attendance<'a> {
    fn begin(pod: &'a Pod, container: &'a ContainerId, process: Process) -> Self {
        let Process { streams, exit } = process;
        let Streams {
            stdin,
            stdout,
            stderr,
        } = streams;
        // A process has a standard error of its own unless it has a terminal.
        let terminal = stderr.is_none();
        let drain = pod.deadlines().drain;
        let (exited, watch) = watch::channel(false);
        let mut outputs = JoinSet::new();
        outputs.spawn(copy::output(
            stdout,
            tokio::io::stdout(),
            watch.clone(),
            drain,
        ));
        if let Some(stderr) = stderr {
            outputs.spawn(copy::output(stderr, tokio::io::stderr(), watch, drain));
        }
        let mut input = JoinSet::new();
        if let Some(stdin) = stdin {
            input.spawn(copy::input(stdin));
        }
        Self {
            pod,
            container,
            exit,
            exited,
            outputs,
            input,
            forwarded: 0,
            terminal,
        }
    }

    /// Until the process has ended and all of its output has been written.
    async fn attend(mut self, signals: &mut Signals) -> anyhow::Result<ExitStatus> {
        let mut status = None;
        while status.is_none() || !self.outputs.is_empty() {
            match self.wait(signals, status.is_none()).await {
                Wake::Exited(result) => {
                    status = Some(result?);
                    // Nobody listens when there is no output left to copy.
                    self.exited.send_replace(true);
                }
                Wake::Copied(Some(Ok(Ok(End::Complete)))) => {}
                Wake::Copied(Some(Ok(Ok(End::ReaderGone)))) => {
                    return Ok(ExitStatus::Signaled(SIGPIPE));
                }
                Wake::Copied(Some(Ok(Err(error)))) if status.is_some() => return Err(error),
                Wake::Copied(Some(Ok(Err(error)))) => return Err(self.why_broken(error).await),
                Wake::Copied(Some(Err(panicked))) => return Err(panicked.into()),
                Wake::Copied(None) => {}
                Wake::Signal(Notice::Forward(number)) if self.forwarded == PATIENCE => {
                    return Ok(ExitStatus::Signaled(number));
                }
                Wake::Signal(notice) => self.pass_on(notice).await,
            }
        }
        self.input.abort_all();
        // The loop ends with a status.
        Ok(status.unwrap_or(ExitStatus::Exited(0)))
    }

    /// A stream that broke off mostly means a guest that ended: then that is the error to tell.
    async fn why_broken(&mut self, error: anyhow::Error) -> anyhow::Error {
        match timeout(self.pod.deadlines().stop, self.exit.wait()).await {
            Ok(Err(ended)) => ended.into(),
            Ok(Ok(_)) | Err(_) => error,
        }
    }

    async fn wait(&mut self, signals: &mut Signals, runs: bool) -> Wake {
        let copying = !self.outputs.is_empty();
        tokio::select! {
            result = self.exit.wait(), if runs => Wake::Exited(result),
            copied = self.outputs.join_next(), if copying => Wake::Copied(copied),
            notice = signals.next() => Wake::Signal(notice),
        }
    }

    async fn pass_on(&mut self, notice: Notice) {
        let passed = match notice {
            Notice::Forward(number) => {
                self.forwarded += 1;
                self.pod.signal(self.container, number.into()).await
            }
            Notice::Resized => match terminal::window_size() {
                Some(size) if self.terminal => self.pod.resize(self.container, size).await,
                _ => Ok(()),
            },
        };
        if let Err(error) = passed {
            // The run goes on; a guest that is gone says so by itself.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a signal was not passed on"
            );
        }
    }
}
