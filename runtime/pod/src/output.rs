//! Copies a container's output to its log, if it has one, and to those who are attached to it, as long as all live. Main types:
//! [`Follower`], the handle, and [`Following`], what it needs. One task for each container; the guest keeps what is not in the log yet, so a
//! task that is killed loses nothing. Above: `owner`; below: `container-log` and the streams of `agent-client`.

mod copy;
mod tee;

use std::{path::PathBuf, time::Duration};

use agent_client::{Agent, Output, ProcessRef};
use container_log::{LogError, LogFile, Stream};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tracing::Instrument;

use crate::{Deadlines, error::PodError, handle::Streams};
use copy::{Copier, Side};
pub(crate) use tee::Listener;

/// Requests that wait for a follower.
const REQUESTS: usize = 4;

/// What is followed, and to where.
#[derive(Debug, Clone)]
pub(crate) struct Following {
    pub(crate) agent: Agent,
    pub(crate) process: ProcessRef,
    /// Then there is no standard error of its own.
    pub(crate) terminal: bool,
    /// None: nobody keeps the output, but somebody may attach.
    pub(crate) log: Option<LogPlace>,
}

/// Where a container's log is.
#[derive(Debug, Clone)]
pub(crate) struct LogPlace {
    pub(crate) path: PathBuf,
    /// Where it is kept how far the log is.
    pub(crate) position: PathBuf,
}

/// What may be asked of a follower.
#[derive(Debug)]
pub(crate) enum Request {
    /// Go on in a new file: kubelet has renamed the old one.
    Reopen {
        reply: oneshot::Sender<Result<(), PodError>>,
    },
    /// From now on somebody listens, too.
    Attach {
        listener: Listener,
        reply: oneshot::Sender<Result<(), PodError>>,
    },
    /// Write what is there and end.
    End,
}

/// A task that copies.
#[derive(Debug)]
pub(crate) struct Follower {
    requests: mpsc::Sender<Request>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Makes the log of a container that is about to run, if it is to have one.
    pub(crate) async fn make_log(following: &Following) -> Result<Option<LogFile>, PodError> {
        let Some(place) = following.log.clone() else {
            return Ok(None);
        };
        let make = move |place: &LogPlace| LogFile::create(&place.path, &place.position);
        blocking(place, make).await.map(Some)
    }

    /// Copies the streams from their beginning.
    pub(crate) fn begin(
        following: Following,
        log: Option<LogFile>,
        streams: Streams,
        deadlines: Deadlines,
    ) -> Self {
        let stdout = Side::open(Stream::Stdout, streams.stdout);
        let stderr = streams
            .stderr
            .map(|stream| Side::open(Stream::Stderr, stream));
        Self::spawn(following, move |following| async move {
            Ok(Copier::new(following, log, stdout, stderr, deadlines))
        })
    }

    /// Goes on where the daemon before this one was killed.
    pub(crate) fn resume(following: Following, deadlines: Deadlines) -> Self {
        Self::spawn(following, move |following| async move {
            let log = match following.log.clone() {
                Some(place) => Some(resume_log(place).await?),
                None => None,
            };
            let stdout = Side::reopen(&following, log.as_ref(), Stream::Stdout).await?;
            let stderr = if following.terminal {
                None
            } else {
                Some(Side::reopen(&following, log.as_ref(), Stream::Stderr).await?)
            };
            Ok(Copier::new(following, log, stdout, stderr, deadlines))
        })
    }

    fn spawn<F>(following: Following, make: impl FnOnce(Following) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Copier, PodError>> + Send,
    {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let span = tracing::info_span!("log", container = %following.process.container_id);
        let task = async move {
            match make(following).await {
                Ok(copier) => copier.run(inbox).await,
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the container's output is not logged"
                ),
            }
        };
        let task = tokio::spawn(task.instrument(span));
        Self { requests, task }
    }

    /// Asks it to go on in a new file. Its answer comes by the channel.
    pub(crate) fn reopen(&self, reply: oneshot::Sender<Result<(), PodError>>) {
        // A follower that has ended, or doesn't keep up, drops the request with its reply: that is an answer, too.
        drop(self.requests.try_send(Request::Reopen { reply }));
    }

    /// Asks it to let somebody listen. Its answer comes by the channel.
    pub(crate) fn attach(&self, listener: Listener, reply: oneshot::Sender<Result<(), PodError>>) {
        // Dropped likewise.
        drop(self.requests.try_send(Request::Attach { listener, reply }));
    }

    /// Waits until all output is in the log; ends it when the time is over.
    pub(crate) async fn drained(mut self, patience: Duration) {
        if timeout(patience, &mut self.task).await.is_ok() {
            return;
        }
        tracing::warn!(
            "a process that outlived its container holds its output open; the log ends here"
        );
        drop(self.requests.try_send(Request::End));
        if timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Follower {
    /// What is not in the log is in the guest still, if there is one.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The agent's name of a stream.
fn output_of(stream: Stream) -> Output {
    match stream {
        Stream::Stdout => Output::Stdout,
        Stream::Stderr => Output::Stderr,
    }
}

async fn resume_log(place: LogPlace) -> Result<LogFile, PodError> {
    let resume = move |place: &LogPlace| LogFile::resume(&place.path, &place.position);
    let (log, found) = blocking(place.clone(), resume).await?;
    if found != container_log::Found::Exact {
        tracing::warn!(?found, log = %place.path.display(), "the log was changed by others");
    }
    Ok(log)
}

/// Work on a log, on a thread for it.
async fn blocking<T: Send + 'static>(
    place: LogPlace,
    work: impl FnOnce(&LogPlace) -> Result<T, LogError> + Send + 'static,
) -> Result<T, PodError> {
    let path = place.path.clone();
    match tokio::task::spawn_blocking(move || work(&place)).await {
        Ok(result) => result.map_err(PodError::Log),
        Err(_panicked) => Err(PodError::LogLost { path }),
    }
}
