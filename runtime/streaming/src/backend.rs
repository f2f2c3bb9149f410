//! What a session asks for and what serves it. Main type: [`Backend`], which the crate above implements; `remote_command` and
//! `port_forward` are its callers.

use std::{fmt, future::Future};

use model::WindowSize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};

/// Bytes that someone else makes.
pub type Source = Box<dyn AsyncRead + Send + Unpin>;

/// Bytes that someone else takes. `shutdown()` says that there are no more; to drop it without says that the client is gone.
pub type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// Makes the streams of a session. The server calls it once for each session (a port-forward: once for each connection), when the
/// client has opened the streams that were agreed on.
///
/// A future that is dropped is a client that went away while it was waiting: what had been begun must be taken back.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Starts a process in a container.
    fn exec(&self, exec: Exec) -> impl Future<Output = Result<Process, Refusal>> + Send;

    /// Connects to the process that a container runs already.
    fn attach(&self, attach: Attach) -> impl Future<Output = Result<Process, Refusal>> + Send;

    /// Connects to a port of the pod's own loopback: 127.0.0.1, then ::1. `sandbox` is as it stands in [`PortForward`].
    fn dial(
        &self,
        sandbox: &str,
        port: u16,
    ) -> impl Future<Output = Result<Connection, Refusal>> + Send;
}

/// What a URL was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// A new process.
    Exec(Exec),
    /// A container's own process.
    Attach(Attach),
    /// Ports of a pod.
    PortForward(PortForward),
}

/// A process to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The container's id.
    pub container: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The streams that were agreed on.
    pub streams: Asked,
}

/// A process to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The container's id.
    pub container: String,
    /// The streams that were agreed on.
    pub streams: Asked,
}

/// Ports to forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortForward {
    /// The sandbox's id.
    pub sandbox: String,
    /// The ports that were asked for, by the WebSocket protocols that name none themselves. SPDY names a port with each connection, and
    /// may name any, as in Kubernetes.
    pub ports: Vec<u16>,
}

/// The streams that a session has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// From the client to the process.
    pub stdin: bool,
    /// From the process.
    pub stdout: bool,
    /// From the process. Not with a terminal, which has one output: the caller refuses that before.
    pub stderr: bool,
    /// The process has a terminal; the client tells its size.
    pub tty: bool,
}

/// A process with its streams. Exactly those that were asked for are there.
pub struct Process {
    /// What it reads. `shutdown()` closes it, and the output goes on. It is not called where there is a terminal: a terminal has no half
    /// close, so the client's end of input changes nothing. What the process has ended without reading may fail or be swallowed.
    pub stdin: Option<Sink>,
    /// What it writes, until its end. The server reads it to its end before it tells how the process ended, so a backend ends it in good
    /// time after the process also where something else holds it open.
    pub stdout: Option<Source>,
    /// What it writes as errors, like `stdout`.
    pub stderr: Option<Source>,
    /// Takes the sizes of the client's window, which are never 0; bounded, and only the newest matters. The server holds it for as long
    /// as the client is there, also without a terminal, and until the client's last input was taken. Dropped before `end` was told, it
    /// says that the client is gone: the backend ends the process or leaves it alone, as its kind demands.
    pub sizes: mpsc::Sender<WindowSize>,
    /// How it ended. A sender dropped without a word counts as [`End::Failed`].
    pub end: oneshot::Receiver<End>,
}

/// How a process ended, as far as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this code; 128 + n for signal n. An attach ends with 0 when the container's streams have ended, whatever its code.
    Exited(u8),
    /// It can't be said how, or what was asked for could not be done to its end; a sentence for people.
    Failed(String),
}

/// A connection to a port in a pod.
pub struct Connection {
    /// From the pod.
    pub from: Source,
    /// To the pod; `shutdown()` is SHUT_WR.
    pub to: Sink,
}

/// Why there is nothing to stream: a sentence for the person at the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Debug for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Process")
            .field("stdin", &self.stdin.is_some())
            .field("stdout", &self.stdout.is_some())
            .field("stderr", &self.stderr.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
pub(crate) mod untouched;
