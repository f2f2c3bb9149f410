//! ExecSync: runs a command in a container and answers with all that it said. It ends with its time, and with its caller.

use std::{sync::Arc, time::Duration};

use cri::v1::{ExecSyncRequest, ExecSyncResponse};
use model::ExitStatus;
use pod::{ExecPlan, PodError, Streams};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tonic::Status;
use tracing::Instrument;

use crate::{exec_output, executed::Executed, failure, limits, node::Node};

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
    let plan = ExecPlan {
        args: cmd,
        stdin: false,
        terminal: None,
    };
    let task = async move {
        // Not cut short by a caller that leaves: the command may have begun.
        let (mut exec, streams) = match Executed::begin(found, &plan, deadlines).await {
            Ok(begun) => begun,
            Err(status) => return drop(reply.send(Err(status))),
        };
        let result = tokio::select! {
            result = attend(&mut exec, streams, limit) => result,
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

/// Until it has ended and said all, or its time is over.
async fn attend(
    exec: &mut Executed,
    streams: Streams,
    limit: Option<Duration>,
) -> Result<ExecSyncResponse, Status> {
    let (exited, watch) = watch::channel(false);
    let gather = |stream| tokio::spawn(exec_output::gather(stream, watch.clone(), exec.deadlines));
    let stdout = gather(streams.stdout);
    let stderr = streams.stderr.map(gather);
    let wait = exec.exit.wait();
    let ended = match limit {
        Some(limit) => timeout(limit, wait).await,
        None => Ok(wait.await),
    };
    let ended: Result<ExitStatus, PodError> = match ended {
        Ok(ended) => ended,
        Err(_elapsed) => {
            exec.kill().await;
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

async fn gathered(task: JoinHandle<Vec<u8>>) -> Result<Vec<u8>, Status> {
    let ended = |error| Status::internal(format!("the command's output was lost: {error}"));
    task.await.map_err(ended)
}
