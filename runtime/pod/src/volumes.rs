//! What a pod's containers mount: brought into the guest when a container starts, followed while it runs, written back when it has ended.
//! Main functions: [`make`], [`write_back`], [`free`]. Above: `owner`; below: `agent-client`.
//!
//! ```text
//! host folder with ..data ── Watcher, one for the pod ──► files ─┐
//! host file               ── copied for each container ──► files ─┤ volumes of the guest ──► mounts of the container
//! host tmpfs              ── size, mode, first content ──► memory ┤
//! host hugetlbfs          ── mode and owner ──► huge pages set aside ─┤
//! host folder or file     ── the pod's share server ──► virtio-fs ─┤
//! emptyDir as a disk      ── an image in its folder ──► XFS ──────┤
//! image                   ── a disk for each container ──► EROFS ─┤
//! host socket             ── an Answerer, one for the pod ──► socket ┘
//! ```
//!
//! On the node there is nothing to bring: an agent there mounts its host's paths themselves, and images from their files.
//!
//! A volume's name follows from what it is, so nobody has to keep a list: the agent says whether it is there.

mod read;
mod watch;
mod write_back;

use std::{collections::BTreeMap, fmt::Write, path::Path, time::Duration};

use agent_client::{Agent, AgentError, MountSource, VolumeMount};
use model::{ContainerId, HostVolume, Mount, VolumeId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use share_client::Access;

pub(crate) use self::watch::Watcher;
use crate::{
    Deadlines,
    container::Container,
    disk_volumes::{DiskVolume, DiskVolumes},
    error::PodError,
    home::{Home, ImagePlace},
    launch::agent_call,
    shares::Shares,
    sockets,
};

/// The name of a copied file in its volume.
const FILE: &str = "file";

/// Most of a file that is written back, in bytes. The kubelet reads the last 4096 of a termination log.
const MOST_WRITTEN_BACK: u32 = 64 << 10;

/// A mount of a container, as its record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mounted {
    pub(crate) mount: Mount,
    pub(crate) source: Source,
}

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    Host(HostVolume),
    Image {
        /// Where it is, while it is there.
        #[serde(rename = "disk")]
        image: Option<ImagePlace>,
        /// What of it; empty is all.
        sub_path: String,
    },
}

impl Source {
    /// The folder that is followed, and its volume's name.
    pub(crate) fn followed(&self) -> Option<(VolumeId, &Path)> {
        match self {
            Self::Host(HostVolume::Files { path }) => Some((of_pod("files", path).ok()?, path)),
            _ => None,
        }
    }

    /// The socket that is answered at, and its volume's name.
    pub(crate) fn answered(&self) -> Option<(VolumeId, &Path)> {
        match self {
            Self::Host(HostVolume::Socket { path }) => Some((of_pod("socket", path).ok()?, path)),
            _ => None,
        }
    }
}

/// How the agent calls the volumes that are one container's alone, by their place in its list.
pub(crate) fn of_container(container: &ContainerId, number: usize) -> Result<VolumeId, PodError> {
    name(&["container", container.as_str(), &number.to_string()])
}

/// How the agent calls a share of the pod.
pub(crate) fn of_share(key: &str) -> Result<VolumeId, PodError> {
    name(&["share", key])
}

/// How the agent calls a folder that is a disk of the pod's guest.
pub(crate) fn of_disk(folder: &Path) -> Result<VolumeId, PodError> {
    of_pod("disk", folder)
}

fn of_pod(kind: &str, path: &Path) -> Result<VolumeId, PodError> {
    name(&[kind, &path.to_string_lossy()])
}

/// Two that are not the same have other names: 160 bits of a digest.
fn name(of: &[&str]) -> Result<VolumeId, PodError> {
    const BYTES: usize = 20;
    let digest = Sha256::digest(of.join("\0"));
    let mut text = "v-".to_owned();
    for byte in digest.iter().take(BYTES) {
        // Into a string: it can't fail.
        write!(text, "{byte:02x}").ok();
    }
    text.parse().map_err(|_bad| PodError::VolumeName)
}

/// What brings folders of the host into the guest and keeps them there.
#[derive(Clone)]
pub(crate) struct Carriers {
    /// One for each folder that is followed.
    pub(crate) watchers: BTreeMap<VolumeId, Watcher>,
    pub(crate) shares: Option<Shares>,
    pub(crate) disks: Option<DiskVolumes>,
}

/// Brings into the guest what a container mounts, and says how the agent is to mount it.
pub(crate) async fn make(
    agent: &Agent,
    container: &Container,
    carriers: &Carriers,
    deadlines: Deadlines,
) -> Result<Vec<VolumeMount>, PodError> {
    let mut mounts = Vec::new();
    for (number, mounted) in container.mounts.iter().enumerate() {
        let own = of_container(&container.id, number)?;
        let made = match &mounted.source {
            Source::Host(HostVolume::Bind { path }) => {
                mounts.push(VolumeMount {
                    source: MountSource::Host { path: path.clone() },
                    mount: mounted.mount.clone(),
                });
                continue;
            }
            Source::Image { image, sub_path } => {
                let image = image.as_ref().ok_or(PodError::TornDown)?;
                mount_image(agent, &own, image, deadlines).await?;
                (own, sub_path.clone(), false)
            }
            Source::Host(HostVolume::Share { path } | HostVolume::Own { path }) => {
                let access = access(mounted);
                let volume = share(agent, carriers, (path, access), deadlines).await?;
                (volume, String::new(), false)
            }
            Source::Host(volume @ (HostVolume::Disk { .. } | HostVolume::HugePages { .. })) => {
                in_guest_alone(agent, carriers, volume, deadlines).await?
            }
            Source::Host(HostVolume::Socket { path }) => {
                let id = of_pod("socket", path)?;
                sockets::make(agent, &id, path, deadlines).await?;
                (id, String::new(), false)
            }
            Source::Host(volume) => {
                from_host(agent, own, volume, &carriers.watchers, deadlines).await?
            }
        };
        let (id, sub_path, make_sub_path) = made;
        mounts.push(VolumeMount {
            source: MountSource::Volume {
                id,
                sub_path,
                make_sub_path,
            },
            mount: in_guest(mounted),
        });
    }
    Ok(mounts)
}

/// A volume that the guest has for itself, in place of a folder of the host: a disk, or pages of its memory.
async fn in_guest_alone(
    agent: &Agent,
    carriers: &Carriers,
    volume: &HostVolume,
    deadlines: Deadlines,
) -> Result<(VolumeId, String, bool), PodError> {
    let root = read::look(volume.path().clone()).await?;
    match volume {
        HostVolume::Disk {
            path,
            template,
            limit_bytes,
            sub_path,
        } => {
            let id = of_disk(path)?;
            let volume = DiskVolume {
                id: id.clone(),
                folder: path.clone(),
                template: template.clone(),
                limit_bytes: *limit_bytes,
                root,
            };
            let disks = carriers.disks.as_ref().ok_or(PodError::TornDown)?;
            disks.get(volume).await?;
            Ok((id, sub_path.clone(), true))
        }
        HostVolume::HugePages {
            path,
            pages,
            sub_path,
        } => {
            let id = of_pod("huge pages", path)?;
            let call = agent.mount_huge_pages(&id, *pages, root, deadlines.call);
            agent_call("mount huge pages of the guest", call).await?;
            Ok((id, sub_path.clone(), true))
        }
        // It is the caller that tells these two from the others.
        _ => Err(PodError::TornDown),
    }
}

/// To which right the host has it served.
fn access(mounted: &Mounted) -> Access {
    let mount = &mounted.mount;
    match (mount.read_only, mount.recursive_read_only) {
        _ if matches!(mounted.source, Source::Host(HostVolume::Own { .. })) => Access::Writable,
        (false, _) => Access::Writable,
        (true, false) => Access::ReadOnly,
        (true, true) => Access::RecursiveReadOnly,
    }
}

async fn share(
    agent: &Agent,
    carriers: &Carriers,
    (path, access): (&Path, Access),
    deadlines: Deadlines,
) -> Result<VolumeId, PodError> {
    let shares = carriers.shares.as_ref().ok_or(PodError::TornDown)?;
    let shared = shares.get(path, access).await?;
    let device = shared.device.to_string();
    let place = (device.as_str(), shared.name.as_str());
    let call = agent.mount_share(&shared.volume, place, deadlines.start);
    agent_call("mount a share in the guest", call).await?;
    Ok(shared.volume)
}

async fn mount_image(
    agent: &Agent,
    volume: &VolumeId,
    image: &ImagePlace,
    deadlines: Deadlines,
) -> Result<(), PodError> {
    match image {
        ImagePlace::Disk(disk) => {
            let disk = disk.to_string();
            let call = agent.mount_image_volume(volume, &disk, deadlines.start);
            agent_call("mount an image's disk in the guest", call).await
        }
        ImagePlace::Files(files) => {
            let call = agent.mount_image_files(volume, files.clone(), deadlines.start);
            agent_call("mount an image's files on the node", call).await
        }
    }
}

/// How the guest mounts it. The host holds a share to its right, and better: what is mounted below a folder may be written though the folder
/// may not (unless `recursiveReadOnly` says so), and in the guest all of that is one mount.
fn in_guest(mounted: &Mounted) -> Mount {
    let mut mount = mounted.mount.clone();
    if matches!(mounted.source, Source::Host(HostVolume::Share { .. }))
        && !mount.recursive_read_only
    {
        mount.read_only = false;
    }
    mount
}

/// The volume, what of it, and whether that is made.
async fn from_host(
    agent: &Agent,
    own: VolumeId,
    volume: &HostVolume,
    watchers: &BTreeMap<VolumeId, Watcher>,
    deadlines: Deadlines,
) -> Result<(VolumeId, String, bool), PodError> {
    let attempt = "copy a volume into the guest";
    match volume {
        HostVolume::Files { path } => {
            let id = of_pod("files", path)?;
            let watcher = watchers.get(&id).ok_or(PodError::TornDown)?;
            watcher.up_to_date().await?;
            Ok((id, String::new(), false))
        }
        HostVolume::Copy { path } | HostVolume::WrittenBack { path } => {
            let (tree, sub_path) = read::copy(path.clone()).await?;
            // One that a start before left half-done is made anew.
            let removed = agent.remove_volume(&own, deadlines.call);
            agent_call(attempt, removed).await?;
            let written = agent.write_volume(&own, tree, 0, deadlines.call);
            agent_call(attempt, written).await?;
            Ok((own, sub_path.to_owned(), false))
        }
        HostVolume::Memory {
            path,
            bytes,
            sub_path,
        } => {
            let id = of_pod("memory", path)?;
            let tree = read::tree(path.clone()).await?;
            let written = agent.write_volume(&id, tree, *bytes, deadlines.call);
            agent_call(attempt, written).await?;
            Ok((id, sub_path.clone(), true))
        }
        // No copies: their maker has seen to them.
        HostVolume::Share { .. }
        | HostVolume::Own { .. }
        | HostVolume::Disk { .. }
        | HostVolume::HugePages { .. }
        | HostVolume::Socket { .. }
        | HostVolume::Bind { .. } => Err(PodError::TornDown),
    }
}

/// Writes back what a container leaves to the host: its files, and what the guest's cache has of disks that outlive the VM. What can't be is said in the log:
/// the container has ended all the same.
pub(crate) async fn write_back(agent: &Agent, container: &Container, deadline: Duration) {
    for (number, mounted) in container.mounts.iter().enumerate() {
        let left = match &mounted.source {
            Source::Host(HostVolume::WrittenBack { path }) => {
                file_back(agent, of_container(&container.id, number), path, deadline).await
            }
            Source::Host(HostVolume::Disk { path, .. }) => disk_out(agent, path, deadline).await,
            _ => Ok(()),
        };
        if let Err(error) = left {
            tracing::warn!(
                container = %container.id,
                destination = mounted.mount.destination,
                error = &error as &dyn std::error::Error,
                "what a container leaves to the host was not written back"
            );
        }
    }
}

async fn file_back(
    agent: &Agent,
    volume: Result<VolumeId, PodError>,
    path: &Path,
    deadline: Duration,
) -> Result<(), PodError> {
    let volume = volume?;
    let call = agent.read_volume_file(&volume, FILE, MOST_WRITTEN_BACK, deadline);
    let content = agent_call("read a container's file in the guest", call).await?;
    write_back::write(path.to_owned(), content).await
}

async fn disk_out(agent: &Agent, folder: &Path, deadline: Duration) -> Result<(), PodError> {
    match agent.sync_volume(&of_disk(folder)?, deadline).await {
        // A container that never started may not have brought it in.
        Ok(()) | Err(AgentError::NotFound { .. }) => Ok(()),
        Err(source) => Err(PodError::Agent {
            attempt: "write a volume out in the guest",
            source,
        }),
    }
}

/// Has the agent remove what is the container's alone, and takes the images away.
pub(crate) async fn free(
    agent: &Agent,
    home: &Home,
    container: &Container,
    deadline: Duration,
) -> Result<(), PodError> {
    for (number, mounted) in container.mounts.iter().enumerate() {
        let own = of_container(&container.id, number)?;
        agent_call(
            "remove a volume in the guest",
            agent.remove_volume(&own, deadline),
        )
        .await?;
        let Source::Image {
            image: Some(image), ..
        } = &mounted.source
        else {
            continue;
        };
        home.free(agent, image, deadline).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
