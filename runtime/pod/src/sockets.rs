//! Sockets of the host that containers of a pod connect to: for each, a task that waits in the guest and joins each process's connection to one to the host's
//! socket. Main type: [`Answerer`]. Above: `owner`, which has one for each socket that its containers mount, and `volumes`; below: `connect`,
//! `agent-client`.
//!
//! ```text
//! process ──► the guest's socket ──► agent ◄──vsock, opened by the host──── Answerer ──► the host's socket
//! ```
//!
//! The guest opens no connection: one of ours waits there, and when a process has it the next one goes to wait. A process that comes while nobody waits, for
//! the daemon is away or has as many as it takes, waits in the queue of the guest's socket. Connections end with the daemon: they are streams of its
//! own.

mod connect;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use agent_client::{Agent, AgentError, Caller, HostSocket};
use model::VolumeId;
use tokio::{
    io::copy_bidirectional,
    net::UnixStream,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::sleep,
};
use tracing::Instrument;

pub use self::connect::{SocketError, SocketKind, socket_kind};
use crate::{Deadlines, deadlines::VOLUME_PAUSE, error::PodError, launch::agent_call};

/// Connections to one socket at a time.
const CONNECTIONS: usize = 128;

/// A task that answers at one socket. It ends with the last handle; connections that it has made go on.
#[derive(Debug, Clone)]
pub(crate) struct Answerer {
    /// Nothing is ever sent: the task sees its end.
    _alive: mpsc::Sender<()>,
}

struct Answer {
    agent: Agent,
    volume: VolumeId,
    path: PathBuf,
    deadlines: Deadlines,
    places: Arc<Semaphore>,
}

impl Answerer {
    pub(crate) fn begin(
        agent: Agent,
        volume: VolumeId,
        path: PathBuf,
        deadlines: Deadlines,
    ) -> Self {
        let (alive, mut over) = mpsc::channel(1);
        let answer = Answer {
            agent,
            volume,
            path,
            deadlines,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        };
        let task = async move {
            tokio::select! {
                () = answer.run() => {}
                _over = over.recv() => {}
            }
        };
        let task: JoinHandle<()> = tokio::spawn(task.in_current_span());
        // It ends with the handles.
        drop(task);
        Self { _alive: alive }
    }
}

impl Answer {
    async fn run(self) {
        let mut failing = false;
        loop {
            match self.one().await {
                Ok(()) => failing = false,
                Err(error) => {
                    // Once for a series: the guest may be on its way down, or the host's socket away for long.
                    let said = std::mem::replace(&mut failing, true);
                    self.failed(&error, said);
                    sleep(VOLUME_PAUSE).await;
                }
            }
        }
    }

    fn failed(&self, error: &PodError, said_before: bool) {
        let error = error as &dyn std::error::Error;
        if !said_before {
            tracing::warn!(socket = %self.path.display(), error, "nobody answers at a socket of the node in the pod");
        }
    }

    /// Waits for one process, and has its connection joined.
    async fn one(&self) -> Result<(), PodError> {
        let attempt = "wait for a process at a socket in the guest";
        // Never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let waiting = match self.agent.wait_at(&self.volume).await {
            // Nobody has made it yet.
            Err(AgentError::NotFound { .. }) => {
                make(&self.agent, &self.volume, &self.path, self.deadlines).await?;
                agent_call(attempt, self.agent.wait_at(&self.volume)).await?
            }
            waiting => agent_call(attempt, async { waiting }).await?,
        };
        let (caller, process) = agent_call(attempt, waiting.caller()).await?;
        let (path, deadline) = (self.path.clone(), self.deadlines.call);
        let joined = async move {
            if let Err(error) = join(process, &path, caller, deadline).await {
                // A process may try as often as it likes.
                let error = &error as &dyn std::error::Error;
                tracing::debug!(socket = %path.display(), error, "a process of the pod got no connection");
            }
            drop(place);
        };
        // It ends with either end of its connection, and with the guest.
        let task: JoinHandle<()> = tokio::spawn(joined.in_current_span());
        drop(task);
        Ok(())
    }
}

async fn join(
    mut process: UnixStream,
    path: &Path,
    caller: Caller,
    deadline: Duration,
) -> Result<(), SocketError> {
    let mut server = connect::connect(path, caller, deadline).await?;
    // An end of either kind is passed on by the drop of both.
    copy_bidirectional(&mut process, &mut server).await.ok();
    Ok(())
}

/// Makes the guest's socket like the host's. Where it is there already, it stays.
pub(crate) async fn make(
    agent: &Agent,
    volume: &VolumeId,
    path: &Path,
    deadlines: Deadlines,
) -> Result<(), PodError> {
    let about = connect::look(path.to_owned()).await;
    let (mode, uid, gid) = about.map_err(|source| PodError::Socket {
        path: path.to_owned(),
        source,
    })?;
    let socket = HostSocket { mode, uid, gid };
    let call = agent.make_socket(volume, socket, deadlines.call);
    agent_call("make a socket in the guest", call).await
}
