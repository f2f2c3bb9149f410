//! Folders of the host that are disks of a pod's guest: an image in the folder, whose blocks are what the folder takes, with a file system that only the guest
//! mounts. Main type: [`DiskVolumes`]. Above: `volumes` and `owner`; below: `image`, `vm-client` and `agent-client`.
//!
//! One task owns them, so that two containers that start at the same time make one image. The disk's name follows from the folder: a daemon after this one
//! asks the monitor whether it is there. It stays until the VM ends; the image, as long as the folder.

mod image;

use std::{path::PathBuf, sync::Arc};

use agent_client::{Agent, VolumeRoot};
use model::VolumeId;
use tokio::sync::{mpsc, oneshot};
use vm_client::{DiskId, DiskPlan, Monitor, PciAddress, RequestError, SegmentPlan};

pub use self::image::ImageError;
use crate::{Deadlines, error::PodError, launch::agent_call};

/// Who waits for a disk before others wait to ask for one.
const WAITING: usize = 16;

/// As much of a volume's name as a disk's holds (virtio 1.3, section 5.2.6.1). No other disk's begins like it: those of containers have no `v-`.
const NAME_BYTES: usize = 20;

/// What the task is made of.
pub(crate) struct Parts {
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) agent: Agent,
    pub(crate) deadlines: Deadlines,
}

/// A folder, and what it is to be in the guest.
#[derive(Debug, Clone)]
pub(crate) struct DiskVolume {
    /// How the agent calls it.
    pub(crate) id: VolumeId,
    pub(crate) folder: PathBuf,
    /// From which its image is made.
    pub(crate) template: PathBuf,
    /// Most bytes in it; none is as much as the template's disk has.
    pub(crate) limit_bytes: Option<u64>,
    /// How it looks.
    pub(crate) root: VolumeRoot,
}

/// The way to the task. When the last one is dropped the task ends, and the disks stay.
#[derive(Clone)]
pub(crate) struct DiskVolumes(mpsc::Sender<Wanted>);

struct Wanted {
    volume: DiskVolume,
    reply: oneshot::Sender<Result<(), PodError>>,
}

impl DiskVolumes {
    pub(crate) fn begin(parts: Parts) -> Self {
        let (wanted, inbox) = mpsc::channel(WAITING);
        tokio::spawn(run(parts, inbox));
        Self(wanted)
    }

    /// Has the guest mount the folder's disk. Where it has done so already, nothing happens.
    pub(crate) async fn get(&self, volume: DiskVolume) -> Result<(), PodError> {
        let (reply, answer) = oneshot::channel();
        let asked = self.0.send(Wanted { volume, reply }).await;
        asked.map_err(|_ended| PodError::TornDown)?;
        answer.await.map_err(|_ended| PodError::TornDown)?
    }
}

async fn run(parts: Parts, mut inbox: mpsc::Receiver<Wanted>) {
    while let Some(wanted) = inbox.recv().await {
        let got = get(&parts, wanted.volume).await;
        // Who went away finds it when it comes again.
        drop(wanted.reply.send(got));
    }
}

async fn get(parts: &Parts, volume: DiskVolume) -> Result<(), PodError> {
    let address = place(parts, &volume).await?;
    let (limit, deadline) = (volume.limit_bytes.unwrap_or(0), parts.deadlines.start);
    let (place, root) = (address.to_string(), volume.root);
    let call = parts
        .agent
        .mount_disk_volume(&volume.id, &place, (root, limit), deadline);
    agent_call("mount the disk of an emptyDir in the guest", call).await
}

/// Where the disk is on the VM's bus, on which it is put if it is not there.
async fn place(parts: &Parts, volume: &DiskVolume) -> Result<PciAddress, PodError> {
    let refused = |source| PodError::EmptyDirDisk {
        folder: volume.folder.clone(),
        source,
    };
    let id = disk_id(&volume.id)?;
    let status = parts.monitor.status().await;
    let status = status.map_err(|error| refused(ImageError::Monitor(error)))?;
    if let Some(address) = status.disks.get(&id) {
        return Ok(*address);
    }
    let (folder, template) = (volume.folder.clone(), volume.template.clone());
    let opened = blocking(move || image::open(&folder, &template)).await?;
    let (file, length) = opened.map_err(refused)?;
    let plan = DiskPlan {
        id,
        segments: vec![SegmentPlan {
            file,
            offset: 0,
            length,
        }],
        read_only: false,
    };
    let added: Result<_, RequestError> = parts.monitor.add_disk(plan).await;
    added.map_err(|error| refused(ImageError::Monitor(error)))
}

fn disk_id(volume: &VolumeId) -> Result<DiskId, PodError> {
    let name = volume.as_str();
    let name = name.get(..NAME_BYTES).unwrap_or(name);
    DiskId::try_from(name.to_owned()).map_err(|_invalid| PodError::VolumeName)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PodError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_runtime_ends| PodError::TornDown)
}

#[cfg(test)]
mod tests;
