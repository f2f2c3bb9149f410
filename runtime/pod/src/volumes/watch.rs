//! Follows a folder of the host whose `..data` is replaced while containers run: a ConfigMap, a Secret, a token. Main type: [`Watcher`],
//! the handle of one task. Above: `owner`, which has one for each such volume of its pod.
//!
//! The task reads when it is asked to and when the kernel says that something was renamed in the folder (inotify(7)), and sends what it has read if `..data`
//! leads elsewhere than when it last sent. It listens before it reads, so what changes meanwhile is read next.

use std::{ffi::OsString, io, mem::MaybeUninit, os::fd::OwnedFd, path::PathBuf};

use agent_client::Agent;
use model::VolumeId;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};
use tracing::Instrument;

use super::read;
use crate::{
    Deadlines, deadlines::VOLUME_PAUSE, error::PodError, launch::agent_call, watched::watched,
};

/// Requests that wait for a watcher.
const REQUESTS: usize = 16;

type Request = oneshot::Sender<Result<(), PodError>>;

/// A task that follows one folder. It ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    requests: mpsc::Sender<Request>,
}

impl Watcher {
    /// Sends the folder now, and whenever it changes.
    pub(crate) fn begin(
        agent: Agent,
        volume: VolumeId,
        folder: PathBuf,
        deadlines: Deadlines,
    ) -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let follow = Follow {
            agent,
            volume,
            folder,
            deadlines,
            sent: None,
        };
        let task: JoinHandle<()> = tokio::spawn(follow.run(inbox).in_current_span());
        // It ends when its requests do.
        drop(task);
        Self { requests }
    }

    /// Waits until the guest has what the host has now.
    pub(crate) async fn up_to_date(&self) -> Result<(), PodError> {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(reply).await.is_err() {
            return Err(PodError::TornDown);
        }
        answer.await.unwrap_or(Err(PodError::TornDown))
    }
}

struct Follow {
    agent: Agent,
    volume: VolumeId,
    folder: PathBuf,
    deadlines: Deadlines,
    /// Where `..data` led to when it was sent.
    sent: Option<OsString>,
}

/// Why the task goes on.
enum Wake {
    Asked(Option<Request>),
    /// Something was renamed in the folder.
    Changed,
    /// The folder is gone, or can't be listened to.
    Deaf,
    /// What failed is tried again.
    Again,
}

impl Follow {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut events = self.listen();
        let mut asked: Vec<Request> = Vec::new();
        loop {
            let result = self.send().await;
            let failed = result.is_err();
            self.answer(&mut asked, result);
            match wait(&mut inbox, events.as_ref(), failed && events.is_some()).await {
                Wake::Asked(None) => return,
                Wake::Asked(Some(request)) => asked.push(request),
                Wake::Changed | Wake::Again => {}
                Wake::Deaf => events = None,
            }
            while let Ok(request) = inbox.try_recv() {
                asked.push(request);
            }
            if events.is_none() && !asked.is_empty() {
                events = self.listen();
            }
        }
    }

    fn listen(&self) -> Option<AsyncFd<OwnedFd>> {
        let made = listen(&self.folder);
        made.inspect_err(|error| {
            tracing::warn!(folder = %self.folder.display(), %error, "a volume is not followed");
        })
        .ok()
    }

    /// If it is not what was sent last.
    async fn send(&mut self) -> Result<(), PodError> {
        let folder = self.folder.clone();
        let now = read::blocking(move || {
            read::data(&folder).map_err(|source| read::ReadError::Io {
                path: folder,
                source,
            })
        })
        .await?;
        if now.is_some() && now == self.sent {
            return Ok(());
        }
        let tree = read::tree(self.folder.clone()).await?;
        let call = self
            .agent
            .write_volume(&self.volume, tree, 0, self.deadlines.call);
        agent_call("copy a volume into the guest", call).await?;
        // Perhaps an older one than what was read: then it is sent once more, and the agent knows it.
        self.sent = now;
        Ok(())
    }

    /// Whoever asked gets the first error; without anybody it is logged.
    fn answer(&self, asked: &mut Vec<Request>, result: Result<(), PodError>) {
        if asked.is_empty()
            && let Err(error) = &result
        {
            tracing::warn!(
                folder = %self.folder.display(),
                error = error as &dyn std::error::Error,
                "a volume's change has not reached the guest"
            );
        }
        let mut result = Some(result);
        for request in asked.drain(..) {
            let answer = match &result {
                Some(Ok(())) => Ok(()),
                _ => result.take().unwrap_or(Err(PodError::TornDown)),
            };
            // A caller that went away needs no answer.
            drop(request.send(answer));
        }
    }
}

async fn wait(
    inbox: &mut mpsc::Receiver<Request>,
    events: Option<&AsyncFd<OwnedFd>>,
    again: bool,
) -> Wake {
    let changed = async {
        match events {
            Some(events) => next(events).await,
            None => std::future::pending().await,
        }
    };
    let pause = async {
        match again {
            // The host may be in the midst of a change that ends without one more event.
            true => sleep(VOLUME_PAUSE).await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        request = inbox.recv() => Wake::Asked(request),
        wake = changed => wake,
        () = pause => Wake::Again,
    }
}

fn listen(folder: &std::path::Path) -> io::Result<AsyncFd<OwnedFd>> {
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let what = WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
    inotify::add_watch(&events, folder, what)?;
    watched(events)
}

/// All that is there counts as one.
async fn next(events: &AsyncFd<OwnedFd>) -> Wake {
    let Ok(mut ready) = events.readable().await else {
        return Wake::Deaf;
    };
    let mut buffer = [const { MaybeUninit::uninit() }; 4096];
    let mut reader = inotify::Reader::new(events.get_ref(), &mut buffer);
    let mut wake = Wake::Changed;
    loop {
        match reader.next() {
            Ok(event) if event.events().contains(ReadFlags::IGNORED) => wake = Wake::Deaf,
            Ok(_event) => {}
            Err(rustix::io::Errno::AGAIN) => break,
            Err(_broken) => return Wake::Deaf,
        }
    }
    ready.clear_ready();
    wake
}
