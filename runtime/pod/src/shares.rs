//! Folders of the host that a pod's guest works on itself: the pod's share server, launched with the first of them, and what is in its
//! tree. Main type: [`Shares`]. Above: `volumes` and `owner`; below: `share-client` and `vm-client`.
//!
//! One task owns the server; who wants a share asks it. What it has is kept in the run folder, from which a daemon after this one goes on.
//! The server ends with the VM, whose end of their socket closes, and with the pod's cgroup. One that ends before has taken the guest's open files with it, and
//! no other can know them: the pod is over, and its owner hears why.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use model::VolumeId;
use serde::{Deserialize, Serialize};
use share_client::{Access, ProcessError, Server, ServerPlan, ServerRecord};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
    time::timeout,
};
use vm_client::{Monitor, PciAddress, SharePlan, ShareTag};

use crate::{Deadlines, cgroup::Cgroup, error::PodError, volumes, watched::watched};

/// What the guest mounts the tree by; the agent knows it.
const TAG: &str = "cofferdam";

/// The record's file in the run folder.
const RECORD: &str = "shares.json";

/// Who waits for a share before others wait to ask for one.
const WAITING: usize = 16;

/// What the task is made of.
pub(crate) struct Parts {
    /// The server's program, `cofferdam-share`.
    pub(crate) program: PathBuf,
    /// The pod's run folder.
    pub(crate) folder: PathBuf,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) deadlines: Deadlines,
}

/// The way to the task. When the last one is dropped the task ends, and the server lives on.
#[derive(Clone)]
pub(crate) struct Shares(mpsc::Sender<Wanted>);

/// A share in the pod's tree.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// How the agent calls it.
    pub(crate) volume: VolumeId,
    /// Where the pod's virtio-fs is.
    pub(crate) device: PciAddress,
    /// Its name in the tree.
    pub(crate) name: String,
}

struct Wanted {
    path: PathBuf,
    access: Access,
    reply: oneshot::Sender<Result<Shared, PodError>>,
}

/// What is kept. Shares stay until the pod is over: its containers have the same again when they start again.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    server: ServerRecord,
    device: PciAddress,
    /// Names in the tree by path and access.
    names: BTreeMap<String, String>,
}

struct Keeper {
    parts: Parts,
    live: Option<Live>,
    /// Of the server, once there is one: it can be read when that has ended.
    watched: Option<AsyncFd<OwnedFd>>,
    /// Until it has been told.
    lost: Option<oneshot::Sender<SharesLost>>,
}

/// The server has ended, and its VM has not.
#[derive(Debug)]
pub(crate) struct SharesLost;

impl SharesLost {
    /// For a pod's record.
    pub(crate) const CAUSE: &str = "its share server ended, and with it all that the pod had open of shared folders of the node";
}

/// A server that is on the VM's bus.
struct Live {
    server: Server,
    device: PciAddress,
    names: BTreeMap<String, String>,
}

impl Shares {
    /// Begins the task, and says where it tells that the server is lost.
    pub(crate) fn begin(parts: Parts) -> (Self, oneshot::Receiver<SharesLost>) {
        let (wanted, inbox) = mpsc::channel(WAITING);
        let (lost, told) = oneshot::channel();
        let keeper = Keeper {
            parts,
            live: None,
            watched: None,
            lost: Some(lost),
        };
        tokio::spawn(keeper.run(inbox));
        (Self(wanted), told)
    }

    /// The share of this path, put into the tree if it is not there yet. Containers that mount the same path with the same right have
    /// the same share, so they see each other's locks and pipes in it.
    pub(crate) async fn get(&self, path: &Path, access: Access) -> Result<Shared, PodError> {
        let (reply, answer) = oneshot::channel();
        let path = path.to_owned();
        let wanted = Wanted {
            path,
            access,
            reply,
        };
        let asked = self.0.send(wanted).await;
        asked.map_err(|_ended| PodError::TornDown)?;
        answer.await.map_err(|_ended| PodError::TornDown)?
    }
}

impl Keeper {
    async fn run(mut self, mut inbox: mpsc::Receiver<Wanted>) {
        self.resume().await;
        loop {
            tokio::select! {
                wanted = inbox.recv() => {
                    let Some(wanted) = wanted else { return };
                    let shared = self.get(wanted.path, wanted.access).await;
                    // Who went away finds the share when it comes again.
                    drop(wanted.reply.send(shared));
                }
                () = ended(self.watched.as_ref()) => {
                    self.watched = None;
                    self.tell_lost().await;
                }
            }
        }
    }

    /// Attaches to the server that a daemon before this one launched, if there is one.
    async fn resume(&mut self) {
        let folder = self.parts.folder.clone();
        let resumed = match blocking(move || read(&folder)).await {
            Ok(Some(record)) => attach(record),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match resumed {
            Ok(live) => self.keep(live),
            Err(PodError::ShareServerLost(ProcessError::Gone { .. })) => self.tell_lost().await,
            // Who needs a share is told.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the pod's share server can't be attached to");
            }
        }
    }

    fn keep(&mut self, live: Live) {
        let watched = live.server.watch().and_then(watched);
        let watched = watched.inspect_err(|error| {
            tracing::warn!(%error, "the end of a share server will not be noticed");
        });
        self.watched = watched.ok();
        self.live = Some(live);
    }

    /// Unless the VM ends, too, of which the server's end is a part: a monitor that still answers has not ended first.
    async fn tell_lost(&mut self) {
        let Parts {
            monitor, deadlines, ..
        } = &self.parts;
        let alive = monitor.status().await.is_ok();
        if !alive && timeout(deadlines.stop, monitor.ended()).await.is_ok() {
            return;
        }
        if let Some(lost) = self.lost.take() {
            // An owner that is gone need not know.
            drop(lost.send(SharesLost));
        }
    }

    async fn get(&mut self, path: PathBuf, access: Access) -> Result<Shared, PodError> {
        let key = format!("{access:?} {}", path.display());
        let volume = volumes::of_share(&key)?;
        let mut live = match self.live.take() {
            Some(live) => live,
            None => {
                let opened = self.open().await?;
                self.keep(opened);
                self.live.take().ok_or(PodError::TornDown)?
            }
        };
        let name = live.names.get(&key).cloned();
        let (live, name) = match name {
            Some(name) => (live, Ok(name)),
            None => {
                let folder = self.parts.folder.clone();
                let added = blocking(move || {
                    let name = add(&mut live, key, &path, access, &folder);
                    Ok((live, name))
                });
                added.await?
            }
        };
        let device = live.device;
        self.live = Some(live);
        let name = name?;
        Ok(Shared {
            volume,
            device,
            name,
        })
    }

    /// The server of the record, or a new one on the VM's bus.
    async fn open(&self) -> Result<Live, PodError> {
        let folder = self.parts.folder.clone();
        if let Some(record) = blocking(move || read(&folder)).await? {
            return attach(record);
        }
        let cgroup = match &self.parts.cgroup {
            Some(cgroup) => Some(cgroup.processes().map_err(PodError::Cgroup)?),
            None => None,
        };
        let plan = ServerPlan {
            program: self.parts.program.clone(),
            cgroup,
            deadline: self.parts.deadlines.call,
        };
        let launched = blocking(move || Server::launch(&plan).map_err(PodError::ShareServer));
        let (server, socket) = launched.await?;
        let tag = ShareTag::try_from(TAG.to_owned()).map_err(|_bad| PodError::VolumeName)?;
        // A server whose share is refused ends by itself: nobody has its socket any more.
        let added = self.parts.monitor.add_share(SharePlan { tag, socket });
        let device = added.await.map_err(PodError::ShareDevice)?;
        let live = Live {
            server,
            device,
            names: BTreeMap::new(),
        };
        let folder = self.parts.folder.clone();
        blocking(move || {
            save(&live, &folder)?;
            Ok(live)
        })
        .await
    }
}

fn attach(record: Record) -> Result<Live, PodError> {
    let server = Server::attach(record.server).map_err(PodError::ShareServerLost)?;
    Ok(Live {
        server,
        device: record.device,
        names: record.names,
    })
}

async fn ended(watched: Option<&AsyncFd<OwnedFd>>) {
    let readable = match watched {
        Some(watched) => watched.readable().await.map(drop),
        None => std::future::pending().await,
    };
    // It fails when the runtime ends, and nobody is there to be told.
    drop(readable);
}

fn add(
    live: &mut Live,
    key: String,
    path: &Path,
    access: Access,
    folder: &Path,
) -> Result<String, PodError> {
    let name = live.server.add(path, access).map_err(PodError::Share)?;
    live.names.insert(key, name.clone());
    save(live, folder)?;
    Ok(name)
}

/// Whole or not at all: it is renamed into place.
fn save(live: &Live, folder: &Path) -> Result<(), PodError> {
    let record = Record {
        server: live.server.record(),
        device: live.device,
        names: live.names.clone(),
    };
    let json = serde_json::to_vec(&record).map_err(io::Error::from);
    let fresh = folder.join(format!("{RECORD}.new"));
    json.and_then(|json| fs::write(&fresh, json))
        .and_then(|()| fs::rename(&fresh, folder.join(RECORD)))
        .map_err(PodError::ShareRecord)
}

fn read(folder: &Path) -> Result<Option<Record>, PodError> {
    match fs::read(folder.join(RECORD)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read
            .and_then(|json| serde_json::from_slice(&json).map_err(io::Error::from))
            .map(Some)
            .map_err(PodError::ShareRecord),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PodError> + Send + 'static,
) -> Result<T, PodError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|ended| Err(PodError::ShareRecord(io::Error::other(ended))))
}
