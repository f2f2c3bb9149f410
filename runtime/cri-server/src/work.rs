//! Work that is done to its end even when whoever asked for it goes away: a client's deadline drops the call's future, and half a pod
//! must not be what is left. Main functions: [`finish`], [`finish_or_undo`].

use tokio::{sync::oneshot, task::JoinError};
use tonic::Status;
use tracing::Instrument;

/// Does the work in a task of its own.
pub(crate) async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(ended) => Err(broken(&ended)),
    }
}

/// Does the work in a task of its own, and undoes what nobody waited for.
pub(crate) async fn finish_or_undo<T, Undo>(
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
    undo: impl FnOnce(T) -> Undo + Send + 'static,
) -> Result<T, Status>
where
    T: Send + 'static,
    Undo: Future<Output = ()> + Send,
{
    let (reply, answer) = oneshot::channel();
    let task = async move {
        if let Err(Ok(made)) = reply.send(work.await) {
            tracing::info!("nobody waits for what was made: it is removed again");
            undo(made).await;
        }
    };
    let task = tokio::spawn(task.in_current_span());
    match answer.await {
        Ok(result) => result,
        Err(_gone) => match task.await {
            Err(ended) => Err(broken(&ended)),
            Ok(()) => Err(Status::internal("the work ended without a result")),
        },
    }
}

/// Work on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|ended| broken(&ended))
}

fn broken(ended: &JoinError) -> Status {
    Status::internal(format!("a task of the daemon ended early: {ended}"))
}

#[cfg(test)]
mod tests;
