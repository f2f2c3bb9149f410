//! What a daemon does first: finds the pods that the one before it left, attaches to those that live, and ends what has no record. Main
//! function: [`recover`].

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use agent_client::{Agent, AgentError};
use std::sync::Arc;
use tokio::task::JoinSet;
use vm_client::Monitor;

use crate::{
    Deadlines,
    book::{Book, Read},
    cgroup::Cgroup,
    container::Container,
    handle::Pod,
    home::{Home, HostAgent},
    owner::{self, Beginning},
    record::{self, RecordError, RunFolder, io_error},
    scratch::Scratch,
    status::PodPhase,
    teardown::{Held, teardown},
};

/// What came of a restart.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The pods that were known, running or not.
    pub pods: Vec<Pod>,
    /// Records that could not be read, with the reason. They stay where they are; what belonged to them has been ended.
    pub broken: Vec<(PathBuf, RecordError)>,
    /// Pods without a record, which have been ended.
    pub ended: Vec<String>,
}

/// Finds every pod that outlived the daemon before this one. `share_server` is the program for folders that they share from here on.
///
/// # Errors
/// When a folder can't be read.
pub async fn recover(
    records_dir: &Path,
    pods_dir: &Path,
    share_server: &Path,
    deadlines: Deadlines,
) -> Result<Recovered, RecordError> {
    let mut recovered = Recovered::default();
    let mut attaching = JoinSet::new();
    for folder in folders(records_dir)? {
        let read = tokio::task::spawn_blocking({
            let folder = folder.clone();
            move || Book::read(&folder)
        });
        let read = match read.await {
            Ok(read) => read,
            Err(ended) => Err(io_error("read the record", &folder)(io::Error::other(
                ended,
            ))),
        };
        match read {
            Ok(mut read) => {
                recovered.broken.append(&mut read.broken);
                let (pods_dir, share_server) = (pods_dir.to_owned(), share_server.to_owned());
                attaching.spawn(async move {
                    take_over(read, &pods_dir, share_server, deadlines).await
                });
            }
            Err(error) => recovered.broken.push((folder, error)),
        }
    }
    while let Some(pod) = attaching.join_next().await {
        // A task that panicked has said so; its pod's run folder is swept below.
        recovered.pods.extend(pod.ok());
    }
    recovered.ended = record::sweep_lasting(pods_dir, deadlines).await?;
    Ok(recovered)
}

fn folders(records_dir: &Path) -> Result<Vec<PathBuf>, RecordError> {
    let attempt = "read the folder of all records";
    let entries = match fs::read_dir(records_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(attempt, records_dir)(error)),
    };
    entries
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(io_error(attempt, records_dir))
        })
        .collect()
}

/// Gives a recorded pod an owner again.
async fn take_over(
    read: Read,
    pods_dir: &Path,
    share_server: PathBuf,
    deadlines: Deadlines,
) -> Pod {
    let Read {
        book,
        pod: mut record,
        containers,
        broken: _,
    } = read;
    let live = if record.phase == PodPhase::Running {
        match attach(&record.id, pods_dir, deadlines).await {
            Ok((held, agent)) => {
                end_execs(&agent, &containers, deadlines).await;
                Some((held, agent))
            }
            Err(cause) => {
                tracing::warn!(pod = %record.id, cause, "a pod did not outlive the daemon");
                record.phase = PodPhase::Stopped { cause: Some(cause) };
                None
            }
        }
    } else {
        None
    };
    if live.is_none() {
        // The next restart shall not look for it again.
        if let Err(error) = book.save_pod(record.clone()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a record stays as it was"
            );
        }
    }
    owner::spawn(Beginning {
        record,
        book: Some(book),
        live,
        containers,
        launch: None,
        share_server,
        deadlines,
    })
}

/// Kills the commands that the daemon before this one has left in containers: whoever asked for them went with it. Before anything else
/// can be executed there.
async fn end_execs(agent: &Agent, containers: &[Container], deadlines: Deadlines) {
    let running = containers.iter().filter(|container| container.runs());
    for container in running {
        match agent.end_execs(container.id.as_str(), deadlines.call).await {
            // One that has ended meanwhile has none.
            Ok(()) | Err(AgentError::NotFound { .. }) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(container = %container.id, error, "commands of the daemon before this one may run on");
            }
        }
    }
}

/// What the pod lives in and its agent, or why they can't be had; then nothing of them is left.
async fn attach(
    pod: &model::PodId,
    pods_dir: &Path,
    deadlines: Deadlines,
) -> Result<(Held, Agent), String> {
    let folder = RunFolder::take_over(pods_dir, pod)
        .map_err(|error| format!("its run folder can't be taken over: {error}"))?;
    let mut held = Held {
        pod: pod.clone(),
        cgroup: folder.cgroup().map(Cgroup::recorded),
        scratch: folder.scratch().map(Scratch::recorded),
        host: folder.host(),
        folder,
        home: None,
    };
    let result = reach(&mut held, deadlines).await;
    match result {
        Ok(agent) => Ok((held, agent)),
        Err(cause) => {
            if let Err(left) = teardown(held, deadlines).await {
                tracing::warn!(%left, "a lost pod could not be cleaned up");
            }
            Err(cause)
        }
    }
}

async fn reach(held: &mut Held, deadlines: Deadlines) -> Result<Agent, String> {
    let folder = held.folder.path();
    let home = match &held.host {
        None => {
            let attached = Monitor::attach(folder, deadlines.monitor).await;
            let monitor =
                attached.map_err(|error| format!("its VM ended while no daemon ran: {error}"))?;
            Home::Guest(Arc::new(monitor))
        }
        Some(_) => {
            let agent = HostAgent::attach(folder).map_err(|error| {
                let error = model::chain(&error);
                format!("its agent on the node ended while no daemon ran: {error}")
            })?;
            Home::Host(Arc::new(agent))
        }
    };
    let home = held.home.insert(home);
    Agent::connect(home.connector(), deadlines.call)
        .await
        .map_err(|error| format!("its agent does not answer: {error}"))
}
