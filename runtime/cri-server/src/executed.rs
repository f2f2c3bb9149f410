//! A command that was executed in a container for a call or a client, and its end if nobody waits for it any more. Main type: [`Executed`].
//! Used by `rpc::exec_sync` and `streams::exec`.

use pod::{ExecPlan, Process, ProcessExit, Streams};
use tokio::time::timeout;
use tonic::Status;

use crate::{deadlines::Deadlines, failure, ids, pods::Found};

/// SIGKILL.
const KILL: u32 = 9;

/// One command in a container.
pub(crate) struct Executed {
    pub(crate) found: Found,
    pub(crate) id: String,
    pub(crate) exit: ProcessExit,
    pub(crate) deadlines: Deadlines,
}

impl Executed {
    /// Executes it. Gives its streams beside it.
    pub(crate) async fn begin(
        found: Found,
        plan: &ExecPlan,
        deadlines: Deadlines,
    ) -> Result<(Self, Streams), Status> {
        let id: model::ContainerId = ids::fresh()?;
        let id = id.to_string();
        let executed = found.known.pod.exec(&found.id, &id, plan).await;
        let Process { streams, exit } = executed.map_err(|error| failure::pod(&error))?;
        let executed = Self {
            found,
            id,
            exit,
            deadlines,
        };
        Ok((executed, streams))
    }

    /// Sends a signal to it and to all that it started. False if that failed, which is logged.
    pub(crate) async fn signal(&self, signal: u32) -> bool {
        let pod = &self.found.known.pod;
        let signalled = pod.signal_exec(&self.found.id, &self.id, signal).await;
        if let Err(error) = &signalled {
            let error = error as &dyn std::error::Error;
            tracing::warn!(exec = self.id, error, "a command could not be ended");
        }
        signalled.is_ok()
    }

    /// Kills it with all that it started, and waits until it is dead.
    pub(crate) async fn kill(&mut self) {
        if !self.signal(KILL).await {
            return;
        }
        let ended = timeout(self.deadlines.kill, self.exit.wait()).await;
        if ended.is_err() {
            tracing::warn!(exec = self.id, "a killed command has not ended");
        }
    }
}
