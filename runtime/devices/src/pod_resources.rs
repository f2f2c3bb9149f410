//! Asks the node's kubelet which devices it gave to a pod, by its PodResources API: Get, or List where there is no Get. Main types:
//! [`PodName`], [`PodResourcesError`]. Below: `pod-resources`, the messages. Beside it: `find`, which resolves what comes from here.
//!
//! ```text
//! no socket, or no such API ──► nothing      Get ─┬─ the pod ──► what it has
//!                                                 ├─ UNIMPLEMENTED, UNKNOWN ─► List ──► the pod in it, or nothing
//!                                                 └─ anything else ─► again, three tries in all ─► an error
//! ```
//!
//! Device plugins have answered when kubelet admits a pod, and DRA drivers before it asks for its sandbox: so what is not there when
//! RunPodSandbox arrives will not come.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use ::pod_resources::{
    MAX_MESSAGE_BYTES,
    v1::{
        GetPodResourcesRequest, ListPodResourcesRequest, PodResources,
        pod_resources_lister_client::PodResourcesListerClient,
    },
};
use model::Fault;
use tokio::time;
use tonic::{
    Code, Status,
    transport::{self, Channel, Endpoint},
};

use crate::{
    deadlines::Deadlines,
    find::{Name, Wanted},
};

/// Where kubelet listens, unless its root folder is another one.
pub const SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";

const TRIES: u32 = 3;

/// A pod as kubelet knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
}

/// What kubelet did not say.
#[derive(Debug, thiserror::Error)]
pub enum PodResourcesError {
    #[error("look for kubelet's PodResources socket {}", socket.display())]
    Socket { socket: PathBuf, source: io::Error },
    #[error(
        "ask kubelet at {} for the devices of pod {pod}, {TRIES} times: is kubelet up, and does this program run as root?", socket.display()
    )]
    Ask {
        socket: PathBuf,
        pod: String,
        source: TryError,
    },
}

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    #[error("{} is no address", path.display())]
    Address {
        path: PathBuf,
        source: transport::Error,
    },
    #[error("connect")]
    Connect(#[source] transport::Error),
    #[error("kubelet said {code:?}: {message}")]
    Answer { code: Code, message: String },
    #[error("no answer within {waited:?}")]
    Deadline { waited: Duration },
}

impl PodResourcesError {
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Ask {
                source: TryError::Deadline { .. },
                ..
            } => Fault::DeadlineExceeded,
            _ => Fault::HostUnfit,
        }
    }
}

/// The devices that kubelet gave to a pod; none where there is no kubelet, and where it does not know the pod: crictl's are such.
pub async fn wanted(
    socket: &Path,
    pod: &PodName,
    deadlines: Deadlines,
) -> Result<Vec<Wanted>, PodResourcesError> {
    if !is_there(socket)? {
        return Ok(Vec::new());
    }
    let mut last = TryError::Deadline {
        waited: deadlines.kubelet,
    };
    let mut again = time::interval(deadlines.again);
    for _try in 0..TRIES {
        // The first tick is at once.
        again.tick().await;
        let answer = time::timeout(deadlines.kubelet, ask(socket, pod, deadlines.kubelet)).await;
        match answer {
            Ok(Ok(resources)) => return Ok(resources.as_ref().map(translate).unwrap_or_default()),
            Ok(Err(error)) => last = error,
            Err(_elapsed) => {
                last = TryError::Deadline {
                    waited: deadlines.kubelet,
                }
            }
        }
    }
    Err(PodResourcesError::Ask {
        socket: socket.to_owned(),
        pod: format!("{}/{}", pod.namespace, pod.name),
        source: last,
    })
}

fn is_there(socket: &Path) -> Result<bool, PodResourcesError> {
    socket
        .try_exists()
        .map_err(|source| PodResourcesError::Socket {
            socket: socket.to_owned(),
            source,
        })
}

async fn ask(
    socket: &Path,
    pod: &PodName,
    patience: Duration,
) -> Result<Option<PodResources>, TryError> {
    let endpoint =
        Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(|source| {
            TryError::Address {
                path: socket.to_owned(),
                source,
            }
        })?;
    let channel = endpoint
        .connect_timeout(patience)
        .connect()
        .await
        .map_err(TryError::Connect)?;
    let mut kubelet =
        PodResourcesListerClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    match get(&mut kubelet, pod).await {
        // Older than Get, or switched off, or no such pod: List tells which.
        Err(status) if matches!(status.code(), Code::Unimplemented | Code::Unknown) => {}
        answer => return answer.map_err(|status| said(&status)),
    }
    match list(&mut kubelet, pod).await {
        Err(status) if status.code() == Code::Unimplemented => Ok(None),
        answer => answer.map_err(|status| said(&status)),
    }
}

async fn get(
    kubelet: &mut PodResourcesListerClient<Channel>,
    pod: &PodName,
) -> Result<Option<PodResources>, Status> {
    let request = GetPodResourcesRequest {
        pod_name: pod.name.clone(),
        pod_namespace: pod.namespace.clone(),
    };
    Ok(kubelet.get(request).await?.into_inner().pod_resources)
}

async fn list(
    kubelet: &mut PodResourcesListerClient<Channel>,
    pod: &PodName,
) -> Result<Option<PodResources>, Status> {
    let answer = kubelet.list(ListPodResourcesRequest {}).await?.into_inner();
    Ok(answer
        .pod_resources
        .into_iter()
        .find(|resources| resources.name == pod.name && resources.namespace == pod.namespace))
}

fn said(status: &Status) -> TryError {
    TryError::Answer {
        code: status.code(),
        message: status.message().to_owned(),
    }
}

/// Both lists of each container: device plugins' and claims'.
fn translate(pod: &PodResources) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for container in &pod.containers {
        let plugins = container.devices.iter().flat_map(|devices| {
            devices.device_ids.iter().map(|id| Name::Plugin {
                resource: devices.resource_name.clone(),
                id: id.clone(),
            })
        });
        let claims = container
            .dynamic_resources
            .iter()
            .flat_map(|claim| &claim.claim_resources)
            .flat_map(|resource| &resource.cdi_devices)
            .map(|device| Name::Claim(device.name.clone()));
        wanted.extend(plugins.chain(claims).map(|name| Wanted {
            container: container.name.clone(),
            name,
        }));
    }
    wanted
}

#[cfg(test)]
mod tests;
