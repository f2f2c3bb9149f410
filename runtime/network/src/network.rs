//! The façade of this crate. Main type: [`Network`], one per node. Each operation runs to its end on a task of its own: a caller that goes
//! away in the middle leaves nothing half-made.

use std::{collections::BTreeSet, future::Future, net::IpAddr, sync::Arc};

use model::PodId;
use tokio::sync::oneshot;

use crate::{
    attachment::Attachment, config::NetworkConfig, deadlines::Deadlines, error::NetworkError,
    operations::Operations, request::PodRequest,
};

/// The network of all pods of a node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Network {
    operations: Arc<Operations>,
}

/// What a collection came to.
#[derive(Debug, Default)]
pub struct Collected {
    /// Pods whose networks are gone now.
    pub removed: Vec<PodId>,
    /// Pods whose networks could not be removed, and why. The next collection tries again.
    pub failed: Vec<(PodId, NetworkError)>,
}

impl Network {
    /// Makes the folders that are ours. Blocks, for as long as a file system takes.
    ///
    /// # Errors
    /// Where they can't be made, or the folder of the namespaces can't be made a shared mount.
    pub fn open(config: NetworkConfig, deadlines: Deadlines) -> Result<Self, NetworkError> {
        let operations = Arc::new(Operations::open(config, deadlines)?);
        Ok(Self { operations })
    }

    /// Gives the pod its network.
    ///
    /// # Errors
    /// For many reasons; nothing is left then, except where undoing failed too ([`NetworkError::Undo`]).
    pub async fn setup(&self, request: PodRequest) -> Result<Attachment, NetworkError> {
        let operations = Arc::clone(&self.operations);
        let (answer, wait) = oneshot::channel();
        tokio::spawn(async move {
            let pod = request.pod.clone();
            let attachment = operations.setup(request).await;
            if let Err(Ok(unwanted)) = answer.send(attachment) {
                drop(unwanted);
                forsake(&operations, &pod).await;
            }
        });
        wait.await.unwrap_or(Err(NetworkError::Lost))
    }

    /// Asks the plugins whether the pod's network is as they made it.
    ///
    /// # Errors
    /// Where it isn't, or the pod has none.
    pub async fn check(&self, pod: &PodId) -> Result<(), NetworkError> {
        let (operations, pod) = (Arc::clone(&self.operations), pod.clone());
        to_its_end(async move { operations.check(&pod).await }).await
    }

    /// The addresses of a pod that has been set up, by this process or an earlier one; the primary one first.
    ///
    /// # Errors
    /// Where the pod has no network.
    pub async fn ips(&self, pod: &PodId) -> Result<Vec<IpAddr>, NetworkError> {
        self.operations.ips(pod).await
    }

    /// Takes the pod's network away, whoever set it up and however far that came. Doing it again is harmless.
    ///
    /// # Errors
    /// Where a plugin fails to delete; another call goes on from there.
    pub async fn teardown(&self, pod: &PodId) -> Result<(), NetworkError> {
        let (operations, pod) = (Arc::clone(&self.operations), pod.clone());
        to_its_end(async move { operations.teardown(&pod).await }).await
    }

    /// Takes away the networks that earlier processes set up for pods which are not `valid` any more, and has the plugins forget them.
    /// What this process has set up stays until it is torn down.
    ///
    /// # Errors
    /// Where the folders can't be read, or a plugin fails to collect.
    pub async fn gc(&self, valid: BTreeSet<PodId>) -> Result<Collected, NetworkError> {
        let operations = Arc::clone(&self.operations);
        to_its_end(async move { operations.gc(&valid).await }).await
    }

    /// Whether pods can be given a network: a kubelet's `NetworkReady`.
    ///
    /// # Errors
    /// The reason why not.
    pub async fn status(&self) -> Result<(), NetworkError> {
        self.operations.status().await
    }
}

/// Undoes the network of a pod whose caller has gone away.
async fn forsake(operations: &Operations, pod: &PodId) {
    if let Err(error) = operations.teardown(pod).await {
        let error = model::chain(&error);
        tracing::error!(%pod, error, "the network of a pod that nobody waits for stays");
    }
}

/// Goes on even if whoever waits for it goes away.
async fn to_its_end<T: Send + 'static>(
    operation: impl Future<Output = Result<T, NetworkError>> + Send + 'static,
) -> Result<T, NetworkError> {
    let done = tokio::spawn(operation).await;
    done.unwrap_or(Err(NetworkError::Lost))
}
