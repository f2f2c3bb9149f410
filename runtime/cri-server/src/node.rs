//! All that the calls share: the node's pods, images and network. Main type: [`Node`]. Above: `rpc`. Below: `pods`, `events`, `pod`, `images`, `registry`.

use std::sync::Arc;

use images::{Store, StoreError};
use model::ContainerId;
use pod::{ContainerPhase, Hold, Pod, PodPhase, RecordError, Recovered};
use registry::{HostsError, Patience, Puller};
use thiserror::Error;
use tonic::Status;

use crate::{
    deadlines::Deadlines,
    events::{self, Events},
    exporter::Figures,
    network::Network,
    note::{Created, Sandbox},
    pods::{Found, Known, LookUp, Pods},
    reclaim::Reclaim,
    settings::Settings,
    work,
};

/// Why a daemon can't begin.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error("open the image store")]
    Store(#[source] StoreError),
    #[error("read `registry` in the configuration")]
    Registries(#[source] HostsError),
    #[error("prepare the networks of pods")]
    Network(#[source] Box<network::NetworkError>),
    #[error("find the pods of the daemon before this one")]
    Recover(#[source] RecordError),
    #[error("{0}")]
    Broken(Status),
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) settings: Settings,
    pub(crate) deadlines: Deadlines,
    pub(crate) store: Arc<Store>,
    /// One for all pulls: those at the same time share layers.
    pub(crate) puller: Puller,
    pub(crate) reclaim: Reclaim,
    pub(crate) pods: Pods,
    pub(crate) events: Arc<Events>,
    pub(crate) network: Network,
    pub(crate) figures: Arc<Figures>,
}

impl Node {
    /// Opens the store, and finds the pods that a daemon before this one left.
    pub(crate) async fn open(settings: Settings) -> Result<Arc<Self>, OpenError> {
        let images_dir = settings.images_dir.clone();
        let store = work::blocking(move || Store::open(&images_dir)).await;
        let store = store
            .map_err(OpenError::Broken)?
            .map_err(OpenError::Store)?;
        let puller = work::blocking({
            let (store, hosts) = (store.clone(), settings.registries.clone());
            let patience = Patience::default().scaled(settings.deadline_scale);
            move || Puller::new(store, hosts, patience)
        });
        let puller = puller
            .await
            .map_err(OpenError::Broken)?
            .map_err(OpenError::Registries)?;
        let network = work::blocking({
            let settings = settings.clone();
            move || Network::open(&settings)
        });
        let network = network
            .await
            .map_err(OpenError::Broken)?
            .map_err(|error| OpenError::Network(Box::new(error)))?;
        let store = Arc::new(store);
        let node = Arc::new(Self {
            deadlines: Deadlines::scaled(settings.deadline_scale),
            reclaim: Reclaim::start(Arc::clone(&store)),
            store,
            puller,
            pods: Pods::default(),
            events: Arc::new(Events::new()),
            network,
            figures: Arc::new(Figures::new()),
            settings,
        });
        let recovered = pod::recover(
            &node.settings.records_dir,
            &node.settings.pods_dir,
            &node.settings.parts.share_server,
            pod::Deadlines::scaled(node.settings.deadline_scale),
        );
        let recovered = recovered.await.map_err(OpenError::Recover)?;
        node.take_over(recovered).await;
        Ok(node)
    }

    async fn take_over(&self, recovered: Recovered) {
        for (path, error) in &recovered.broken {
            tracing::error!(path = %path.display(), error = error as &dyn std::error::Error, "a record can't be read; what it was of has been ended");
        }
        for pod in &recovered.ended {
            tracing::warn!(pod, "a VM without a record has been ended");
        }
        let count = recovered.pods.len();
        for pod in recovered.pods {
            self.adopt(pod).await;
        }
        let live = self
            .pods
            .all()
            .into_iter()
            .filter(|known| !known.pod.is_stopped());
        let live = live.map(|known| known.pod.id().clone());
        self.network.keep_only(live).await;
        tracing::info!(
            pods = count,
            "the pods of the daemon before this one are known"
        );
    }

    async fn adopt(&self, pod: Pod) {
        let status = pod.status();
        let sandbox = match Sandbox::from_note(&status.note) {
            Ok(sandbox) => sandbox,
            Err(error) => {
                tracing::error!(pod = %status.id, error = &error as &dyn std::error::Error, "a pod is ended: it can't be said which one it is");
                if let Err(error) = pod.stop().await {
                    tracing::error!(pod = %status.id, error = &error as &dyn std::error::Error, "something of the pod is left");
                }
                return;
            }
        };
        let mut containers: Vec<(ContainerId, Created)> = Vec::new();
        for (id, container) in &status.containers {
            let created = match Created::from_note(&container.note) {
                Ok(created) => created,
                Err(error) => {
                    tracing::error!(pod = %status.id, container = %id, error = &error as &dyn std::error::Error, "a container goes with its pod: it can't be said which one it is");
                    continue;
                }
            };
            if !matches!(container.phase, ContainerPhase::Exited(_)) {
                self.lend(&pod, id, &created).await;
            }
            containers.push((id.clone(), created));
        }
        let known = Arc::new(Known { pod, sandbox });
        self.pods.adopt(Arc::clone(&known), containers);
        self.follow(known, false);
    }

    /// Keeps the images of a container that may still use them: its own, and those that it mounts.
    async fn lend(&self, pod: &Pod, id: &ContainerId, created: &Created) {
        let mounted = created
            .config
            .mounts
            .iter()
            .filter_map(|mount| mount.image.as_ref())
            .map(|image| image.image.clone());
        let images: Vec<String> = mounted.chain([created.image.id.clone()]).collect();
        let store = Arc::clone(&self.store);
        let open = move |image: &String| store.open_rootfs(&store.resolve(image)?);
        let opened = work::blocking(move || images.iter().map(open).collect::<Result<Vec<_>, _>>());
        match opened.await {
            Ok(Ok(all)) => {
                let hold: Hold = Box::new(all);
                pod.lend(id, hold).await;
            }
            Ok(Err(error)) => {
                tracing::warn!(container = %id, error = &error as &dyn std::error::Error, "the container's images can't be kept from removal");
            }
            Err(error) => {
                tracing::warn!(container = %id, %error, "the image could not be opened")
            }
        }
    }

    /// Tells those who listen what happens to a pod.
    pub(crate) fn follow(&self, known: Arc<Known>, new: bool) {
        let (events, pods) = (Arc::clone(&self.events), self.pods.clone());
        // It ends with the pod.
        tokio::spawn(events::follow(events, pods, known, new));
    }

    /// A pod by its id or a unique start of it.
    pub(crate) fn pod(&self, id: &str) -> Result<Arc<Known>, Status> {
        let known = self.pods.pod(id)?;
        tracing::Span::current().record("pod", known.pod.id().as_str());
        Ok(known)
    }

    /// A pod in which something can be done.
    pub(crate) fn ready_pod(&self, id: &str) -> Result<Arc<Known>, Status> {
        let known = self.pod(id)?;
        if known.pod.status().phase == PodPhase::Running {
            return Ok(known);
        }
        let text = format!("sandbox {} is not ready", known.pod.id());
        Err(Status::failed_precondition(text))
    }

    /// A container by its id or a unique start of it.
    pub(crate) fn container(&self, id: &str) -> Result<Found, Status> {
        let found = self.pods.container(id)?;
        let span = tracing::Span::current();
        span.record("pod", found.known.pod.id().as_str());
        span.record("container", found.id.as_str());
        Ok(found)
    }

    /// A container in which something can be done.
    pub(crate) fn running_container(&self, id: &str, attempt: &str) -> Result<Found, Status> {
        let found = self.container(id)?;
        if found.container.runs() {
            return Ok(found);
        }
        let text = format!("{attempt} container {}: it does not run", found.id);
        Err(Status::failed_precondition(text))
    }
}

/// For calls after which the object is to be gone: one that is not there is as it should be.
pub(crate) fn if_any<T>(found: Result<T, Status>) -> Result<Option<T>, Status> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

impl From<LookUp> for Status {
    fn from(error: LookUp) -> Self {
        match error {
            LookUp::None { .. } => Self::not_found(error.to_string()),
            LookUp::Ambiguous { .. } => Self::invalid_argument(error.to_string()),
        }
    }
}
