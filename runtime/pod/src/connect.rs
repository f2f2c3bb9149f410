//! Connections to what runs in a pod already: attaching to a container, and dialling a port of the pod's loopback. Main type:
//! [`Attached`]. Beside `handle`, which has what else may be asked of a pod; below: `output` hands the container's output out.

use agent_client::AgentError;
use bytes::Bytes;
use model::ContainerId;
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
};

use crate::{
    error::PodError,
    handle::{Pod, ProcessInput},
    launch::agent_call,
    output::Listener,
    owner::{Command, first_process},
    pieces::{PieceReader, pieces},
};

/// Pieces of output, of at most 16 KiB, that wait for a client that is attached.
const PIECES: usize = 16;

/// Which streams of a container are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachPlan {
    /// What its first process reads; if the container has none, there is none.
    pub stdin: bool,
    /// What it writes.
    pub stdout: bool,
    /// What it writes as errors; ends at once where it has a terminal.
    pub stderr: bool,
}

/// A client's connection to a container's first process. Dropped, it is over; the container does not notice.
#[derive(Debug)]
pub struct Attached {
    /// A newer attachment takes it over. None where it was not wanted, or the container has none, or none any more.
    pub stdin: Option<ProcessInput>,
    /// From now on, until its end.
    pub stdout: Option<PieceReader>,
    /// The same for errors.
    pub stderr: Option<PieceReader>,
    /// The end of it all.
    pub over: AttachEnd,
}

/// The end of an attachment, which lasts no longer than this.
#[derive(Debug)]
pub struct AttachEnd(oneshot::Receiver<String>);

impl AttachEnd {
    /// Waits until the container's output is over.
    ///
    /// # Errors
    /// With a sentence for people when the client was cut off because it did not read.
    pub async fn wait(&mut self) -> Result<(), String> {
        match (&mut self.0).await {
            Ok(reason) => Err(reason),
            Err(_over) => Ok(()),
        }
    }
}

impl Pod {
    /// Connects to the first process of a running container: its output from now on, which its log gets all the same.
    ///
    /// # Errors
    /// When the container does not run, its output goes to whoever started it, or the agent is lost.
    pub async fn attach(&self, id: &ContainerId, plan: AttachPlan) -> Result<Attached, PodError> {
        let (to_stdout, stdout) = wanted(plan.stdout);
        let (to_stderr, stderr) = wanted(plan.stderr);
        let (cut_off, over) = oneshot::channel();
        let listener = Listener {
            stdout: to_stdout,
            stderr: to_stderr,
            cut_off,
        };
        let container = id.clone();
        // Before the input: an answer to it must not be missed.
        let attached = self.ask(|reply| Command::Attach {
            container,
            listener,
            reply,
        });
        attached.await?;
        let stdin = match plan.stdin && self.container(id)?.spec.stdin {
            true => self.stdin(id).await?,
            false => None,
        };
        Ok(Attached {
            stdin,
            stdout,
            stderr,
            over: AttachEnd(over),
        })
    }

    /// None when it has been ended.
    async fn stdin(&self, id: &ContainerId) -> Result<Option<ProcessInput>, PodError> {
        let process = first_process(id);
        match self.agent()?.open_stdin(&process, 0).await {
            Ok(stdin) => Ok(Some(stdin)),
            Err(AgentError::NotFound { message }) => {
                tracing::debug!(container = %id, message, "there is no input to attach to");
                Ok(None)
            }
            Err(source) => Err(PodError::Stdio(source)),
        }
    }

    /// Connects to a port of the pod's own loopback: 127.0.0.1, or else ::1. The stream's two directions end one by one.
    ///
    /// # Errors
    /// When the pod does not run, or nothing answers there.
    pub async fn dial(&self, port: u16) -> Result<UnixStream, PodError> {
        let agent = self.agent()?;
        agent_call("connect to a port in the pod", agent.dial(port)).await
    }
}

fn wanted(wanted: bool) -> (Option<mpsc::Sender<Bytes>>, Option<PieceReader>) {
    wanted.then(|| pieces(PIECES)).unzip()
}
