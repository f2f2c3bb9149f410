//! What a pod lives in: a VM of its own, or the node itself, where an agent runs for it. Main type: [`Home`]. Above: `launch`, the owner, the teardown, which
//! ask the same of both. Its rooms: `guest`, `host`.

mod guest;
mod host;
mod vfio;

use std::{sync::Arc, time::Duration};

use agent_client::{Agent, AgentError, Connector, ImageFile};
use model::ContainerId;
use serde::{Deserialize, Serialize};
use vm_client::{Ending, Monitor, PciAddress, RequestError};

pub use self::host::HostAgentError;
pub(crate) use self::{
    guest::{add_nics, add_scratch, launch as launch_guest},
    host::{HostAgent, HostRecord},
    vfio::open_function,
};
use crate::{error::PodError, plan::RootSegment};

/// What a pod lives in.
#[derive(Debug, Clone)]
pub(crate) enum Home {
    Guest(Arc<Monitor>),
    Host(Arc<HostAgent>),
}

/// How a home came to its end.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    Guest(Box<Ending>),
    Host { cause: String },
}

/// Where the agent finds an image. Records have it in the form of their first version, where there were only disks: one's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ImagePlace {
    /// On a disk of the VM.
    Disk(PciAddress),
    /// In files of the node.
    Files(Vec<ImageFile>),
}

/// Where the images of a container are.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) root: ImagePlace,
    /// In the order of its mounts.
    pub(crate) images: Vec<ImagePlace>,
    /// Of its block devices, in order.
    pub(crate) disks: Vec<PciAddress>,
}

impl Home {
    pub(crate) fn connector(&self) -> Connector {
        match self {
            Self::Guest(monitor) => Connector::Vsock {
                socket: monitor.vsock_path(),
            },
            Self::Host(agent) => agent.connector(),
        }
    }

    /// Its VM's, if it is one.
    pub(crate) fn monitor(&self) -> Option<&Arc<Monitor>> {
        match self {
            Self::Guest(monitor) => Some(monitor),
            Self::Host(_) => None,
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> Ended {
        match self {
            Self::Guest(monitor) => Ended::Guest(Box::new(monitor.ended().await)),
            Self::Host(agent) => Ended::Host {
                cause: agent.ended().await,
            },
        }
    }

    /// Ends it. On the node the pod's other processes go with its cgroup.
    pub(crate) async fn stop(&self, patience: Duration) -> Ended {
        match self {
            Self::Guest(monitor) => Ended::Guest(Box::new(monitor.stop(patience).await)),
            Self::Host(agent) => Ended::Host {
                cause: agent.stop().await,
            },
        }
    }

    /// Puts a container's root and the images that it mounts where the agent can mount them: all of them, or none.
    pub(crate) async fn place(
        &self,
        container: &ContainerId,
        root: Vec<RootSegment>,
        images: Vec<Vec<RootSegment>>,
    ) -> Result<Places, PodError> {
        match self {
            Self::Guest(monitor) => guest::add_disks(monitor, container, root, images).await,
            Self::Host(_) => Ok(Places {
                root: files(root),
                images: images.into_iter().map(files).collect(),
                disks: Vec::new(),
            }),
        }
    }

    /// Takes away what the agent has not seen, or has let go of.
    pub(crate) async fn take_away(&self, places: Vec<ImagePlace>) {
        if let Self::Guest(monitor) = self {
            guest::remove_disks(monitor, places).await;
        }
    }

    /// Takes an image away that the agent has unmounted, and may still have a device for.
    pub(crate) async fn free(
        &self,
        agent: &Agent,
        place: &ImagePlace,
        deadline: Duration,
    ) -> Result<(), PodError> {
        let (Self::Guest(monitor), ImagePlace::Disk(disk)) = (self, place) else {
            return Ok(());
        };
        let attempt = "remove an image's disk in the guest";
        remove_device((monitor, agent), *disk, (attempt, PodError::Disk), deadline).await
    }
}

/// Takes a device off the bus of a VM, once the guest has let go of it; in words for a person, what is attempted in the guest, and the monitor's failure.
pub(crate) async fn remove_device(
    (monitor, agent): (&Monitor, &Agent),
    address: PciAddress,
    (attempt, stays): (&'static str, fn(RequestError) -> PodError),
    deadline: Duration,
) -> Result<(), PodError> {
    match agent.remove_device(&address.to_string(), deadline).await {
        // A container that never started may never have brought it in.
        Ok(()) | Err(AgentError::NotFound { .. }) => {}
        Err(source) => return Err(PodError::Agent { attempt, source }),
    }
    monitor.remove_device(address).await.map_err(stays)
}

fn files(segments: Vec<RootSegment>) -> ImagePlace {
    let file = |segment: RootSegment| ImageFile {
        path: segment.path,
        length_bytes: segment.length_bytes,
    };
    ImagePlace::Files(segments.into_iter().map(file).collect())
}

impl Ended {
    /// For a pod's record.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Guest(ending) => format!("its VM ended: {}: {}", ending.reason, ending.text),
            Self::Host { cause } => format!("its agent on the node ended: {cause}"),
        }
    }

    pub(crate) fn into_error(self, during: &'static str) -> PodError {
        match self {
            Self::Guest(ending) => PodError::GuestEnded { during, ending },
            Self::Host { cause } => PodError::HostAgentEnded { during, cause },
        }
    }
}

#[cfg(test)]
mod tests;
