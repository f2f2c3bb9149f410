//! What a front door holds of a pod. Main types: [`Pod`], [`Process`]. The owner task is in `owner`.

use agent_client::{Agent, AgentError, OutputStream, ProcessRef, StdinSink};
use model::{ContainerId, ExitStatus, Stages, WindowSize};
use tokio::sync::{mpsc, oneshot};
use vm_client::Running;

use crate::{
    Deadlines,
    error::PodError,
    owner::{self, Command},
    plan::PodPlan,
    start,
};

/// Bytes for the process's standard input.
pub type ProcessInput = StdinSink;

/// Bytes from the process's standard output or error.
pub type ProcessOutput = OutputStream;

/// The connected streams of a process.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<StdinSink>,
    pub(crate) stdout: OutputStream,
    pub(crate) stderr: Option<OutputStream>,
}

/// One running pod.
#[derive(Debug)]
pub struct Pod {
    commands: mpsc::Sender<Command>,
    agent: Agent,
    deadlines: Deadlines,
    stages: Stages,
    launch: Running,
}

/// The first process of a container.
#[derive(Debug)]
pub struct Process {
    /// Standard input, if it was asked for.
    pub stdin: Option<ProcessInput>,
    /// Standard output; all output of a terminal.
    pub stdout: ProcessOutput,
    /// Standard error; none with a terminal.
    pub stderr: Option<ProcessOutput>,
    /// Its end.
    pub exit: ProcessExit,
}

/// The end of a process, once.
#[derive(Debug)]
pub struct ProcessExit(oneshot::Receiver<Result<ExitStatus, PodError>>);

impl ProcessExit {
    /// Waits for the process's end. Its output may still be on the way: read it to its end.
    ///
    /// # Errors
    /// When the guest ended before it.
    pub async fn wait(&mut self) -> Result<ExitStatus, PodError> {
        (&mut self.0).await.unwrap_or(Err(PodError::TornDown))
    }
}

impl Pod {
    /// Starts a pod with its first container.
    ///
    /// Dropping the future half-way leaves a run folder without an owner; [`crate::sweep`] ends what is in it.
    ///
    /// # Errors
    /// When a step fails; nothing is left then.
    pub async fn start(plan: PodPlan) -> Result<(Self, Process), PodError> {
        let deadlines = plan.deadlines;
        let container = plan.container.id.clone();
        let started = start::start(plan).await?;
        let (commands, exit) =
            owner::spawn(started.held, started.agent.clone(), container, deadlines);
        let pod = Self {
            commands,
            agent: started.agent,
            deadlines,
            stages: started.stages,
            launch: started.launch,
        };
        let streams = started.streams;
        let process = Process {
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
            exit: ProcessExit(exit),
        };
        Ok((pod, process))
    }

    /// How long each stage of the start took.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// The monitor's own account of its launch.
    #[must_use]
    pub fn launch(&self) -> &Running {
        &self.launch
    }

    /// For the rest of a process's output, once it has ended.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Sends a signal to the container's first process. One that has ended already is no error.
    ///
    /// # Errors
    /// When the agent refuses or is lost.
    pub async fn signal(&self, container: &ContainerId, signal: u32) -> Result<(), PodError> {
        let process = first_process(container);
        let call = self
            .agent
            .signal_process(&process, signal, self.deadlines.call);
        match call.await {
            Ok(()) | Err(AgentError::NotFound { .. }) => Ok(()),
            Err(source) => Err(PodError::Agent {
                attempt: "signal the container",
                source,
            }),
        }
    }

    /// Sets the size of the terminal of the container's first process.
    ///
    /// # Errors
    /// When it has no terminal, or the agent is lost.
    pub async fn resize(&self, container: &ContainerId, size: WindowSize) -> Result<(), PodError> {
        let process = first_process(container);
        let size = (u32::from(size.columns), u32::from(size.rows));
        let call = self
            .agent
            .resize_terminal(&process, size, self.deadlines.call);
        let attempt = "set the size of the container's terminal";
        call.await
            .map_err(|source| PodError::Agent { attempt, source })
    }

    /// Ends the pod and returns when nothing of it is left on the host. One that has ended by itself is no error.
    ///
    /// # Errors
    /// When something stays.
    pub async fn stop(self) -> Result<(), PodError> {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Stop { reply }).await.is_err() {
            return Ok(());
        }
        done.await.unwrap_or(Ok(()))
    }
}

fn first_process(container: &ContainerId) -> ProcessRef {
    ProcessRef {
        container_id: container.to_string(),
        exec_id: String::new(),
    }
}
