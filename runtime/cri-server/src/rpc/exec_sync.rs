//! ExecSync: runs a command in a container and answers with all that it said. It ends with its time, and with its caller.

use std::{sync::Arc, time::Duration};

use cri::v1::{ExecSyncRequest, ExecSyncResponse};
use model::ExitStatus;
use pod::{ExecPlan, PodError, Process, ProcessExit, Streams};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tonic::Status;
use tracing::Instrument;

use crate::{deadlines::Deadlines, exec_output, failure, ids, limits, node::Node, pods::Found};

/// SIGKILL.
const KILL: u32 = 9;

/// One command in a container.
struct Exec {
    found: Found,
    id: String,
    exit: ProcessExit,
    deadlines: Deadlines,
}

pub(crate) async fn exec_sync(
    node: &Arc<Node>,
    request: ExecSyncRequest,
) -> Result<ExecSyncResponse, Status> {
    let ExecSyncRequest {
        container_id,
        cmd,
        timeout,
    } = request;
    if cmd.first().is_none_or(String::is_empty) {
        return Err(Status::invalid_argument("there is no command to execute"));
    }
    let limit = match u64::try_from(timeout) {
        Ok(0) => None,
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_negative) => {
            let text = format!("the timeout {timeout} is below zero");
            return Err(Status::invalid_argument(text));
        }
    };
    let found = node.container(&container_id)?;
    let (mut reply, answer) = oneshot::channel();
    let deadlines = node.deadlines;
    let task = async move {
        // Not cut short by a caller that leaves: the command may have begun.
        let (mut exec, streams) = match begin(found, cmd, deadlines).await {
            Ok(begun) => begun,
            Err(status) => return drop(reply.send(Err(status))),
        };
        let result = tokio::select! {
            result = exec.attend(streams, limit) => result,
            () = reply.closed() => {
                exec.kill().await;
                return;
            }
        };
        // A caller that has just left needs no answer.
        drop(reply.send(result));
    };
    tokio::spawn(task.in_current_span());
    let gone = |_| {
        Err(Status::internal(
            "the task that executed the command ended early",
        ))
    };
    answer.await.unwrap_or_else(gone)
}

async fn begin(
    found: Found,
    cmd: Vec<String>,
    deadlines: Deadlines,
) -> Result<(Exec, Streams), Status> {
    let id: model::ContainerId = ids::fresh()?;
    let id = id.to_string();
    let plan = ExecPlan {
        args: cmd,
        stdin: false,
        terminal: None,
    };
    let executed = found.known.pod.exec(&found.id, &id, &plan).await;
    let Process { streams, exit } = executed.map_err(|error| failure::pod(&error))?;
    let exec = Exec {
        found,
        id,
        exit,
        deadlines,
    };
    Ok((exec, streams))
}

impl Exec {
    /// Until it has ended and said all, or its time is over.
    async fn attend(
        &mut self,
        streams: Streams,
        limit: Option<Duration>,
    ) -> Result<ExecSyncResponse, Status> {
        let (exited, watch) = watch::channel(false);
        let gather =
            |stream| tokio::spawn(exec_output::gather(stream, watch.clone(), self.deadlines));
        let stdout = gather(streams.stdout);
        let stderr = streams.stderr.map(gather);
        let wait = self.exit.wait();
        let ended = match limit {
            Some(limit) => timeout(limit, wait).await,
            None => Ok(wait.await),
        };
        let ended: Result<ExitStatus, PodError> = match ended {
            Ok(ended) => ended,
            Err(_elapsed) => {
                self.kill().await;
                let limit = limit.unwrap_or_default();
                let text = format!("the command did not end within {limit:?} and was killed");
                return Err(Status::deadline_exceeded(text));
            }
        };
        let status = ended.map_err(|error| failure::pod(&error))?;
        exited.send_replace(true);
        let mut stdout = gathered(stdout).await?;
        let mut stderr = match stderr {
            Some(stderr) => gathered(stderr).await?,
            None => Vec::new(),
        };
        exec_output::fit(&mut stdout, &mut stderr, limits::EXEC_OUTPUT_BYTES);
        Ok(ExecSyncResponse {
            stdout,
            stderr,
            exit_code: status.shell_code().into(),
        })
    }

    /// Kills it with all that it started.
    async fn kill(&mut self) {
        let killed = self
            .found
            .known
            .pod
            .signal_exec(&self.found.id, &self.id, KILL);
        if let Err(error) = killed.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a command could not be killed"
            );
            return;
        }
        // Dead before it is said to be.
        if timeout(self.deadlines.kill, self.exit.wait())
            .await
            .is_err()
        {
            tracing::warn!("a killed command has not ended");
        }
    }
}

async fn gathered(task: JoinHandle<Vec<u8>>) -> Result<Vec<u8>, Status> {
    let ended = |error| Status::internal(format!("the command's output was lost: {error}"));
    task.await.map_err(ended)
}
