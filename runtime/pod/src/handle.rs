//! What a front door holds of a pod. Main types: [`Pod`], [`Process`]. The owner task is in `owner`; what does not change the pod's state
//! is asked of the agent directly.

use std::{sync::Arc, time::Duration};

use agent_client::{
    Agent, AgentError, OutputStream, PodUsage, ProcessExec, ProcessRef, StdinSink, Stdio,
};
use model::{ContainerId, ExitStatus, LimitsChange, PodId, WindowSize};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    Deadlines,
    container::{Container, ContainerPhase},
    error::PodError,
    launch::agent_call,
    oci,
    owner::{Command, executed, first_process, open_streams},
    plan::{ContainerPlan, ExecPlan, Hold},
    status::{PodPhase, PodStatus},
};

/// Bytes for the process's standard input.
pub type ProcessInput = StdinSink;

/// Bytes from the process's standard output or error.
pub type ProcessOutput = OutputStream;

/// SIGKILL.
const KILL: u32 = 9;

/// The connected streams of a process.
#[derive(Debug)]
pub struct Streams {
    /// Standard input, if it was asked for.
    pub stdin: Option<ProcessInput>,
    /// Standard output; all output of a terminal.
    pub stdout: ProcessOutput,
    /// Standard error; none with a terminal.
    pub stderr: Option<ProcessOutput>,
}

/// One pod. Handles are many; the pod's owner is one. When the last handle of a pod that ends with this process is dropped, the pod is
/// stopped.
#[derive(Debug, Clone)]
pub struct Pod {
    pub(crate) id: PodId,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) status: watch::Receiver<Arc<PodStatus>>,
    pub(crate) agent: watch::Receiver<Option<Agent>>,
    pub(crate) deadlines: Deadlines,
}

/// A process that runs.
#[derive(Debug)]
pub struct Process {
    /// Its streams.
    pub streams: Streams,
    /// Its end.
    pub exit: ProcessExit,
}

/// The end of a process, told once.
#[derive(Debug)]
pub struct ProcessExit(Option<oneshot::Receiver<Result<ExitStatus, PodError>>>);

impl ProcessExit {
    /// Waits for the process's end. Its output may still be on the way: read it to its end. May be dropped and called again; once it has
    /// told the end, it has only an error to tell.
    ///
    /// # Errors
    /// When the guest ended before it.
    pub async fn wait(&mut self) -> Result<ExitStatus, PodError> {
        let told = self.0.as_mut().ok_or(PodError::TornDown)?;
        let end = told.await;
        // A channel that has told must not be asked again.
        self.0 = None;
        end.unwrap_or(Err(PodError::TornDown))
    }
}

impl Pod {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &PodId {
        &self.id
    }

    /// How it is now.
    #[must_use]
    pub fn status(&self) -> Arc<PodStatus> {
        Arc::clone(&self.status.borrow())
    }

    /// Follows how it is.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<PodStatus>> {
        self.status.clone()
    }

    /// One of its containers.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn container(&self, id: &ContainerId) -> Result<Arc<Container>, PodError> {
        let status = self.status.borrow();
        let found = status.containers.get(id).map(Arc::clone);
        found.ok_or_else(|| PodError::NoContainer {
            container: id.to_string(),
        })
    }

    /// For the rest of a process's output, once it has ended.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Makes a container, which does not run yet.
    ///
    /// # Errors
    /// When its id is taken, the pod does not run, or its root can't be put on the VM's bus; nothing of it is left then.
    pub async fn create_container(&self, plan: ContainerPlan) -> Result<(), PodError> {
        let plan = Box::new(plan);
        self.ask(|reply| Command::Create { plan, reply }).await
    }

    /// Runs a container's first process; its output goes to the container's log.
    ///
    /// # Errors
    /// When it has been started before, or its process can't be executed: then it has ended.
    pub async fn start_container(&self, id: &ContainerId) -> Result<(), PodError> {
        let container = id.clone();
        let started = self
            .ask(|reply| Command::Start { container, reply })
            .await?;
        drop(started);
        Ok(())
    }

    /// Runs the first process of a container whose output is the caller's.
    ///
    /// # Errors
    /// As [`Pod::start_container`]; when the container's output goes to a log.
    pub async fn start_attached(&self, id: &ContainerId) -> Result<Process, PodError> {
        let exit = self.watch_process(&first_process(id)).await?;
        let container = id.clone();
        let streams = self
            .ask(|reply| Command::Start { container, reply })
            .await?
            .ok_or_else(|| PodError::ContainerState {
                container: id.to_string(),
                attempt: "attach to",
                because: "its output goes to its log".to_owned(),
            })?;
        Ok(Process { streams, exit })
    }

    /// Ends a container: sends `signal`, and SIGKILL to all its processes when it has not ended after `grace`. Returns when it has ended;
    /// one that does not run is no error. The container is killed in any case, also when the caller stops waiting.
    ///
    /// # Errors
    /// When there is no such container, or it can't be killed.
    pub async fn stop_container(
        &self,
        id: &ContainerId,
        signal: u32,
        grace: Duration,
    ) -> Result<(), PodError> {
        let (pod, id) = (self.clone(), id.clone());
        let work = async move { pod.end_container(&id, signal, grace).await };
        // A task of its own: whoever asked may go away, the container must end all the same.
        match tokio::spawn(work).await {
            Ok(result) => result,
            Err(_panicked) => Err(PodError::TornDown),
        }
    }

    async fn end_container(
        &self,
        id: &ContainerId,
        signal: u32,
        grace: Duration,
    ) -> Result<(), PodError> {
        let runs =
            |container: &Container| container.runs() || container.phase == ContainerPhase::Starting;
        if !runs(&*self.container(id)?) {
            return Ok(());
        }
        if !grace.is_zero() {
            self.signal(id, signal).await?;
            if self.ended(id, grace).await {
                return Ok(());
            }
        }
        let agent = self.agent()?;
        let kill = agent.signal_container(id.as_str(), KILL, self.deadlines.call);
        match kill.await {
            Ok(()) | Err(AgentError::NotFound { .. }) => {}
            Err(source) => {
                let attempt = "kill the container";
                return Err(PodError::Agent { attempt, source });
            }
        }
        if self.ended(id, self.deadlines.end_of_killed()).await {
            return Ok(());
        }
        Err(PodError::ContainerState {
            container: id.to_string(),
            attempt: "stop",
            because: "SIGKILL did not end it, or what it has in the guest could not be freed"
                .to_owned(),
        })
    }

    /// Whether it ends in time, or is gone.
    async fn ended(&self, id: &ContainerId, patience: Duration) -> bool {
        let mut status = self.status.clone();
        let over = status.wait_for(|status| {
            status
                .containers
                .get(id)
                .is_none_or(|container| container.exit().is_some())
        });
        timeout(patience, over).await.is_ok()
    }

    /// Forgets a container that does not run.
    ///
    /// # Errors
    /// When there is none of that id, it runs, or its record stays.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<(), PodError> {
        let container = id.clone();
        self.ask(|reply| Command::Remove { container, reply }).await
    }

    /// Goes on in a new log file, after the old one has been renamed; the new one is there when this returns.
    ///
    /// # Errors
    /// When the container does not run or the file can't be made; then the old one stays in use.
    pub async fn reopen_log(&self, id: &ContainerId) -> Result<(), PodError> {
        let container = id.clone();
        self.ask(|reply| Command::ReopenLog { container, reply })
            .await
    }

    /// Changes the limits of a running container: all that the change says, or none. It is recorded when this returns.
    ///
    /// # Errors
    /// When the container does not run, its limits are being changed already, or the guest refuses one of them, which is named.
    pub async fn update_container(
        &self,
        id: &ContainerId,
        change: LimitsChange,
    ) -> Result<(), PodError> {
        let container = id.clone();
        self.ask(|reply| Command::Update {
            container,
            change,
            reply,
        })
        .await
    }

    /// What the guest and its containers use now.
    ///
    /// # Errors
    /// When the pod does not run, or its agent does not answer.
    pub async fn usage(&self) -> Result<PodUsage, PodError> {
        let agent = self.agent()?;
        let call = agent.pod_usage(self.deadlines.call);
        agent_call("ask what the pod uses", call).await
    }

    /// Executes one more process in a running container.
    ///
    /// # Errors
    /// When the container does not run or the command can't be executed.
    pub async fn exec(
        &self,
        id: &ContainerId,
        exec_id: &str,
        plan: &ExecPlan,
    ) -> Result<Process, PodError> {
        let container = self.container(id)?;
        if !container.runs() {
            return Err(PodError::ContainerState {
                container: id.to_string(),
                attempt: "execute a command in",
                because: "it does not run".to_owned(),
            });
        }
        let agent = self.agent()?;
        let process = executed(id, exec_id);
        let exit = self.watch_process(&process).await?;
        let oci_process = oci::exec_process(&container.spec, plan)?;
        let terminal = plan.terminal.map(|terminal| {
            terminal.size.map_or((0, 0), |size| {
                (u32::from(size.columns), u32::from(size.rows))
            })
        });
        let request = ProcessExec {
            process: process.clone(),
            oci_process: serde_json::to_vec(&oci_process)
                .map_err(|error| PodError::Specification(error.into()))?,
            stdio: Stdio {
                stdin: plan.stdin,
                terminal,
            },
        };
        let call = agent.exec_process(request, self.deadlines.start);
        agent_call("execute the command in the container", call).await?;
        let streams = open_streams(&agent, &process, plan.stdin, terminal.is_some()).await?;
        Ok(Process { streams, exit })
    }

    /// Sends a signal to a process that [`Pod::exec`] made, and to every one that came from it. One that has ended already is no error.
    ///
    /// # Errors
    /// When the agent refuses or is lost.
    pub async fn signal_exec(
        &self,
        id: &ContainerId,
        exec_id: &str,
        signal: u32,
    ) -> Result<(), PodError> {
        let exec = executed(id, exec_id);
        let agent = self.agent()?;
        match agent.signal_exec(&exec, signal, self.deadlines.call).await {
            Ok(()) | Err(AgentError::NotFound { .. }) => Ok(()),
            Err(source) => Err(PodError::Agent {
                attempt: "signal the command in the container",
                source,
            }),
        }
    }

    /// Sends a signal to the container's first process. One that has ended already is no error.
    ///
    /// # Errors
    /// When the agent refuses or is lost.
    pub async fn signal(&self, container: &ContainerId, signal: u32) -> Result<(), PodError> {
        self.send_signal(&first_process(container), signal).await
    }

    async fn send_signal(&self, process: &ProcessRef, signal: u32) -> Result<(), PodError> {
        let agent = self.agent()?;
        let call = agent.signal_process(process, signal, self.deadlines.call);
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
        self.resize_terminal(&first_process(container), size).await
    }

    /// Sets the size of the terminal of a process that [`Pod::exec`] made.
    ///
    /// # Errors
    /// As [`Pod::resize`].
    pub async fn resize_exec(
        &self,
        container: &ContainerId,
        exec_id: &str,
        size: WindowSize,
    ) -> Result<(), PodError> {
        let exec = executed(container, exec_id);
        self.resize_terminal(&exec, size).await
    }

    async fn resize_terminal(
        &self,
        process: &ProcessRef,
        size: WindowSize,
    ) -> Result<(), PodError> {
        let size = (u32::from(size.columns), u32::from(size.rows));
        let agent = self.agent()?;
        let call = agent.resize_terminal(process, size, self.deadlines.call);
        agent_call("set the size of the container's terminal", call).await
    }

    /// Lends a pod what it needs while a container may use its image: after a restart of this program.
    pub async fn lend(&self, container: &ContainerId, hold: Hold) {
        let container = container.clone();
        // A pod that is gone needs nothing.
        drop(self.commands.send(Command::Lend { container, hold }).await);
    }

    /// Ends the pod, whatever runs in it, and returns when nothing but its record is left on the host. One that has ended is no error.
    ///
    /// # Errors
    /// When something stays.
    pub async fn stop(&self) -> Result<(), PodError> {
        match self.ask(|reply| Command::Stop { reply }).await {
            Err(PodError::TornDown) => Ok(()),
            result => result,
        }
    }

    /// Ends the pod and removes its record.
    ///
    /// # Errors
    /// When something stays.
    pub async fn remove(&self) -> Result<(), PodError> {
        match self.ask(|reply| Command::Forget { reply }).await {
            Err(PodError::TornDown) => Ok(()),
            result => result,
        }
    }

    async fn watch_process(&self, process: &ProcessRef) -> Result<ProcessExit, PodError> {
        let (exit, told) = oneshot::channel();
        let process = process.clone();
        let command = Command::Watch { process, exit };
        match self.commands.send(command).await {
            Ok(()) => Ok(ProcessExit(Some(told))),
            Err(_gone) => Err(PodError::TornDown),
        }
    }

    pub(crate) fn agent(&self) -> Result<Agent, PodError> {
        let agent = self.agent.borrow().clone();
        agent.ok_or_else(|| PodError::NotRunning {
            pod: self.id.to_string(),
        })
    }

    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, PodError>>) -> Command,
    ) -> Result<T, PodError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(reply)).await.is_err() {
            return Err(PodError::TornDown);
        }
        answer.await.unwrap_or(Err(PodError::TornDown))
    }

    /// Whether it has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.status.borrow().phase, PodPhase::Stopped { .. })
    }
}

#[cfg(test)]
mod tests;
